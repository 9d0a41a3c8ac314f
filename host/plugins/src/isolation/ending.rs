//! From the way a worker ended to an exit status and a sentence: whose fault it was, in which call, and what is kept.

use super::active_call::{ActiveCall, Floor};
use super::watch::Death;
use scaleot_store::exit_code::ExitCode;

/// The watcher's account of an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The worker said all there is to say.
    Told(u8),
    /// The worker could not say it.
    Untold {
        /// Under this exit status.
        code: ExitCode,
        /// In these words.
        sentence: String,
    },
}

/// The meaning of a worker's end; `asked` where somebody asked it to stop.
pub fn ending(death: Death, call: &ActiveCall, asked: bool) -> Ending {
    if let Some(code) = call.concluded {
        return Ending::Told(code);
    }
    let stops = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];
    if asked && matches!(death, Death::Signal(signal) if stops.contains(&signal)) {
        let sentence = "interrupted; the same command continues".to_owned();
        return Ending::Untold { code: ExitCode::Interrupted, sentence };
    }
    Ending::Untold { code: code(death, call.floor), sentence: sentence(death, call) }
}

/// A kill from outside is mostly the system's, for want of memory; the rest is the fault of whoever had the floor.
fn code(death: Death, floor: Floor) -> ExitCode {
    match (death, floor) {
        (Death::Signal(libc::SIGKILL), _) => ExitCode::Resources,
        (_, Floor::Plugin) => ExitCode::Plugin,
        _ => ExitCode::Bug,
    }
}

fn sentence(death: Death, call: &ActiveCall) -> String {
    let ActiveCall { floor, stage, used, source, call, .. } = call;
    let (stage, kept) = match stage.as_str() {
        "" => ("before the first stage".to_owned(), "nothing was computed yet"),
        stage => (format!("in stage {stage}"), KEPT),
    };
    let plugin = format!("{used} ({source})");
    match floor {
        Floor::Plugin => format!("{plugin} {} in `{call}`, {stage}; {kept}", done_by_plugin(death)),
        Floor::Answer => {
            format!("the host {} while it answered {plugin} in `{call}`, {stage}; {kept}", suffered(death))
        }
        Floor::Host => {
            let last = if used.is_empty() {
                String::new()
            } else {
                format!("; the last plugin call was `{call}` of {plugin}")
            };
            format!("the program {} outside of any plugin call, {stage}{last}; {kept}", suffered(death))
        }
    }
}

const KEPT: &str = "finished stages and checkpoints are kept, and the same command continues from them";

fn done_by_plugin(death: Death) -> String {
    match death {
        Death::Exited(status) => format!("ended the program by exit({status})"),
        Death::Signal(libc::SIGKILL) => "was killed by SIGKILL (from outside, perhaps for want of memory)".to_owned(),
        Death::Signal(signal) => format!("died by {}", name(signal)),
        Death::Silent(limit) => format!(
            "was ended: it neither returned nor asked the host for anything for {} s (plugins.call_timeout_s)",
            limit.as_secs()
        ),
    }
}

fn suffered(death: Death) -> String {
    match death {
        Death::Exited(status) => format!("ended with status {status} and without a result"),
        Death::Signal(libc::SIGKILL) => "was killed by SIGKILL (from outside, perhaps for want of memory)".to_owned(),
        Death::Signal(signal) => format!("died by {}", name(signal)),
        // The floor changed hands between the last look and the kill.
        Death::Silent(limit) => format!("was ended after a silence of {} s (plugins.call_timeout_s)", limit.as_secs()),
    }
}

/// The signals that faults end in, by name.
fn name(signal: i32) -> String {
    let known = match signal {
        libc::SIGSEGV => "SIGSEGV (memory that is not its own)",
        libc::SIGABRT => "SIGABRT (abort)",
        libc::SIGBUS => "SIGBUS (memory that is not there)",
        libc::SIGILL => "SIGILL (an instruction that this processor does not have)",
        libc::SIGFPE => "SIGFPE (arithmetic)",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGTERM => "SIGTERM",
        _ => return format!("signal {signal}"),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn call(floor: Floor) -> ActiveCall {
        let [stage, used, source, call] = ["importance", "a/b", "/p/liba.so, sha256 00", "estimate"].map(str::to_owned);
        ActiveCall { floor, stage, used, source, call, concluded: None }
    }

    fn untold(death: Death, floor: Floor, asked: bool) -> (u8, String) {
        match ending(death, &call(floor), asked) {
            Ending::Untold { code, sentence } => (code as u8, sentence.replace(KEPT, "KEPT")),
            Ending::Told(code) => panic!("told with {code}"),
        }
    }

    #[test]
    fn a_fault_is_laid_at_the_door_of_whoever_had_the_floor() {
        let found = [
            untold(Death::Signal(libc::SIGSEGV), Floor::Plugin, false),
            untold(Death::Exited(0), Floor::Plugin, false),
            untold(Death::Silent(Duration::from_secs(5)), Floor::Plugin, false),
            untold(Death::Signal(libc::SIGKILL), Floor::Plugin, false),
            untold(Death::Signal(libc::SIGSEGV), Floor::Answer, false),
            untold(Death::Signal(libc::SIGABRT), Floor::Host, true),
            untold(Death::Signal(libc::SIGTERM), Floor::Plugin, true),
            untold(Death::Exited(0), Floor::Host, false),
        ];
        insta::assert_debug_snapshot!(found);
    }

    #[test]
    fn what_the_worker_concluded_stands_however_it_went_afterwards() {
        let over = ActiveCall { concluded: Some(6), ..call(Floor::Host) };
        assert_eq!(ending(Death::Signal(libc::SIGSEGV), &over, false), Ending::Told(6));
    }
}
