//! Promises of every strategy: repeatable, resumable, and honest about the host's errors.

use crate::fake_host::FakeHost;
use crate::subject::{Broken, Check, Outcome, Session, Subject, ensure};
use crate::{adapter_checks, compress_checks, importance_checks, replace_checks};
use scaleot_plugin_api::services::{ALL, Notices, Service};
use scaleot_plugin_api::{ErrorCode, PluginError, StrategyKind};

pub(crate) const CHECKS: &[Check] = &[
    ("gives the same for the same seed", repeatable),
    ("takes its state back", state),
    ("refuses a state that is not its own", foreign_state),
    ("passes errors of the host on", host_errors),
    ("stops when asked to", interruption),
];

fn exercise(subject: &Subject, session: &mut Session, host: &mut FakeHost) -> Result<String, Broken> {
    match subject.record.kind {
        StrategyKind::Importance => importance_checks::exercise(session, host),
        StrategyKind::Replace => replace_checks::exercise(session, host),
        StrategyKind::Compress => compress_checks::exercise(session, host),
        StrategyKind::Adapter => adapter_checks::exercise(session, host),
    }
}

/// A compressor is asked layer by layer and keeps nothing across a stop.
fn keeps_state(subject: &Subject) -> bool {
    subject.record.kind != StrategyKind::Compress
}

fn repeatable(subject: &Subject) -> Outcome {
    subject.on_each_model(|session, host| {
        let first = exercise(subject, session, host)?;
        let mut again = subject.host(host.outline().clone());
        let second = exercise(subject, &mut subject.session()?, &mut again)?;
        ensure(first == second, || "two runs of the same seed differ".into())
    })
}

fn state(subject: &Subject) -> Outcome {
    if !keeps_state(subject) {
        return Ok(());
    }
    subject.on_each_model(|session, host| {
        exercise(subject, session, host)?;
        let saved = session.save(host)?;
        let mut resumed = subject.session()?;
        resumed.restore(&saved, host)?;
        ensure(resumed.save(host)? == saved, || "what is saved after restoring is not what was restored".into())?;
        exercise(subject, &mut resumed, host).map(drop)
    })
}

fn foreign_state(subject: &Subject) -> Outcome {
    if !keeps_state(subject) {
        return Ok(());
    }
    let mut host = FakeHost::toy(4, 8);
    match subject.session()?.restore(b"\xFFnot a state of this strategy", &mut host) {
        Ok(()) => Err("it was accepted".to_owned().into()),
        Err(error) => ensure(error.code != ErrorCode::Panicked, || error.to_string()),
    }
}

fn host_errors(subject: &Subject) -> Outcome {
    // What happens to a refused notice is the matter of the check on interruptions.
    let services = ALL.iter().map(|service| service.name).filter(|name| *name != Notices::NAME);
    services.into_iter().try_for_each(|request| {
        subject.on_each_model(|session, host| {
            host.fail_named(request, PluginError::new(ErrorCode::Numeric, "the loss is NaN"));
            passed_on(subject, session, host, ErrorCode::Numeric).map_err(|text| format!("{request}: {text}").into())
        })
    })
}

fn interruption(subject: &Subject) -> Outcome {
    subject.on_each_model(|session, host| {
        host.stop_after(0);
        Ok(passed_on(subject, session, host, ErrorCode::Interrupted)?)
    })
}

/// If the host refused something, the strategy must have failed with the host's code.
fn passed_on(subject: &Subject, session: &mut Session, host: &mut FakeHost, expected: ErrorCode) -> Result<(), String> {
    let outcome = exercise(subject, session, host);
    match outcome {
        _ if host.refusals() == 0 => Ok(()),
        Ok(_) => Err("the host's error was swallowed".into()),
        Err(broken) if broken.code() == Some(expected) => Ok(()),
        Err(broken) => Err(format!("expected {expected:?}, found {:?}: {broken}", broken.code())),
    }
}
