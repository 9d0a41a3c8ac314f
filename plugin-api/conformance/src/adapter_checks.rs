//! Promises of every adapter.

use crate::fake_host::FakeHost;
use crate::subject::{Broken, Check, Outcome, Session, Subject, ensure};
use scaleot_plugin_api::services::GradientStep;
use scaleot_plugin_api::{AdapterModule, AdapterPart, LayerOutline, Method, StepReport};

pub(crate) const CHECKS: &[Check] = &[
    ("trains parts that the layer has", parts),
    ("tunes by gradient steps with a finite loss", steps),
    ("goes on tuning from what it saved", resumes),
];

/// Steps of a tuning that is stopped after each of them.
const STEPS: usize = 6;

fn attach(session: &mut Session, host: &mut FakeHost) -> Result<Vec<(LayerOutline, AdapterModule)>, Broken> {
    let layers = host.outline().layers.clone();
    layers.into_iter().map(|layer| Ok((layer.clone(), session.ask(Method::Attach, &layer, host)?))).collect()
}

fn step(session: &mut Session, host: &mut FakeHost) -> Result<f64, Broken> {
    Ok(session.ask::<StepReport>(Method::Step, &(), host)?.loss)
}

fn tune(session: &mut Session, host: &mut FakeHost) -> Result<Vec<f64>, Broken> {
    (0..3).map(|_| step(session, host)).collect()
}

/// One whole use of the strategy; the text of what it gave.
pub(crate) fn exercise(session: &mut Session, host: &mut FakeHost) -> Result<String, Broken> {
    Ok(format!("{:?} {:?}", attach(session, host)?, tune(session, host)?))
}

fn parts(subject: &Subject) -> Outcome {
    subject.on_each_model(|session, host| {
        for (layer, module) in attach(session, host)? {
            let of = |broken: Broken| Broken::from(format!("layer {}: {broken}", layer.index));
            ensure(!module.parts.is_empty(), || format!("nothing trains in layer {}", layer.index))?;
            for (index, part) in module.parts.iter().enumerate() {
                check_part(part, &layer).map_err(of)?;
                let twice = module.parts.iter().take(index).any(|earlier| same_place(earlier, part));
                ensure(!twice, || format!("{part:?} is a second part in one place")).map_err(of)?;
            }
        }
        Ok(())
    })
}

fn check_part(part: &AdapterPart, layer: &LayerOutline) -> Outcome {
    if let AdapterPart::LowRankDelta { role, .. } | AdapterPart::Bottleneck { role, .. } = part {
        let known = role.is_matrix() && layer.weight(*role).is_some();
        ensure(known, || format!("{part:?} names {role}, which is no projection of the layer"))?;
    }
    let useful = match part {
        // A rank beyond the shorter side costs memory and adds nothing; a scale of zero or less trains nothing or backwards.
        AdapterPart::LowRankDelta { role, rank, alpha } => {
            let shape = layer.weight(*role).map(|weight| weight.shape.as_slice()).unwrap_or_default();
            *rank <= shape.iter().min().copied().unwrap_or(0) && *alpha > 0.0
        }
        _ => true,
    };
    ensure(useful && part.fits(layer), || format!("{part:?} does not fit"))
}

fn same_place(a: &AdapterPart, b: &AdapterPart) -> bool {
    let place = |part: &AdapterPart| match part {
        AdapterPart::LowRankDelta { role, .. } | AdapterPart::Bottleneck { role, .. } => Some(*role),
        _ => None,
    };
    std::mem::discriminant(a) == std::mem::discriminant(b) && place(a) == place(b)
}

fn steps(subject: &Subject) -> Outcome {
    subject.on_each_model(|session, host| {
        attach(session, host)?;
        for _ in 0..3 {
            let before = host.requests::<GradientStep>();
            let loss = step(session, host)?;
            ensure(loss.is_finite(), || format!("the loss is {loss}"))?;
            ensure(host.requests::<GradientStep>() > before, || "a step took no gradient step".into())?;
        }
        Ok(())
    })
}

/// The host saves after a step and gives that to a fresh strategy.
fn resumes(subject: &Subject) -> Outcome {
    subject.on_each_model(|session, host| {
        attach(session, host)?;
        let mut whole = Vec::new();
        let mut stops = Vec::new();
        for _ in 0..STEPS {
            whole.push(step(session, host)?);
            stops.push((session.save(host)?, host.as_now()));
        }
        for (taken, (saved, mut later)) in (1..).zip(stops) {
            let mut resumed = subject.session()?;
            resumed.restore(&saved, &mut later)?;
            let rest = (taken..STEPS).map(|_| step(&mut resumed, &mut later)).collect::<Result<Vec<_>, _>>()?;
            let expected = whole.get(taken..).unwrap_or_default();
            ensure(rest == expected, || {
                format!("after step {taken} it went on with {rest:?}, without a stop {expected:?}")
            })?;
        }
        Ok(())
    })
}
