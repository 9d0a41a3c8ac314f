//! What every adapter must keep to.

use super::fake_host::FakeHost;
use super::subject::{Broken, Check, Outcome, Session, Subject, ensure};
use crate::adapter::{AdapterModule, AdapterPart};
use crate::host::StepReport;
use crate::outline::{LayerOutline, WeightRole};
use crate::strategy::Method;

pub(super) const CHECKS: &[Check] =
    &[("trains parts that the layer has", parts), ("tunes by gradient steps with a finite loss", steps)];

fn attach(session: &mut Session, host: &mut FakeHost) -> Result<Vec<(LayerOutline, AdapterModule)>, Broken> {
    let layers = host.outline().layers.clone();
    layers.into_iter().map(|layer| Ok((layer.clone(), session.ask(Method::Attach, &layer, host)?))).collect()
}

fn tune(session: &mut Session, host: &mut FakeHost) -> Result<Vec<f64>, Broken> {
    (0..3).map(|_| Ok(session.ask::<StepReport>(Method::Step, &(), host)?.loss)).collect()
}

/// One whole use of the strategy; the text of what it gave.
pub(super) fn exercise(session: &mut Session, host: &mut FakeHost) -> Result<String, Broken> {
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
    let projection = |role: &WeightRole| {
        let weight = layer.weight(*role).filter(|_| role.is_matrix());
        weight.ok_or_else(|| Broken::from(format!("{part:?} names {role}, which is no projection of the layer")))
    };
    let fits = match part {
        AdapterPart::WholeLayer => true,
        AdapterPart::LowRankDelta { role, rank, alpha } => {
            let full_rank = projection(role)?.shape.iter().min().copied().unwrap_or(0);
            (1..=full_rank).contains(rank) && alpha.is_finite() && *alpha > 0.0
        }
        AdapterPart::Bottleneck { role, size, .. } => projection(role).map(|_| *size > 0)?,
        AdapterPart::BiasOnly => layer.weights.iter().any(|weight| weight.bias),
    };
    ensure(fits, || format!("{part:?} does not fit"))
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
        let losses = tune(session, host)?;
        ensure(losses.iter().all(|loss| loss.is_finite()), || format!("the losses are {losses:?}"))?;
        ensure(host.requests("gradient_step") > 0, || "three steps took no gradient step".into())
    })
}
