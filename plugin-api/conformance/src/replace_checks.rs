//! Promises of every layer replacer.

use crate::array::Array;
use crate::fake_host::FakeHost;
use crate::importance_checks;
use crate::subject::{Broken, Check, Outcome, Session, Subject, ensure};
use scaleot_plugin_api::{
    ErrorCode, Handle, ImportanceScores, LayerPlan, LayerRole, Method, Module, NormKind, Objective, ObjectiveTerm,
    ReplaceRequest, SelectRequest, Substitute, Trains, Trait,
};

pub(crate) const CHECKS: &[Check] = &[
    ("offers substitutes that map hidden to hidden", substitutes),
    ("replaces as many layers as asked, never an adapter", selections),
    ("refuses to replace more layers than there are", too_many),
    ("trains towards a sane objective, if any", objective),
    ("goes on preparing from its last checkpoint", checkpoint),
    ("ignores scores if it declares so", ignored_scores),
    ("has nothing to train if it declares so", nothing_to_train),
];

fn substitute(session: &mut Session, host: &mut FakeHost, layer: usize) -> Result<Substitute<Array>, Broken> {
    let outline = host.layer_outline(layer);
    let Substitute { module, trainable, .. } = session.ask::<Substitute<Handle>>(Method::Substitute, &outline, host)?;
    Ok(Substitute::new(module.try_map(&mut |handle| host.take(handle))?, trainable))
}

/// One whole use of the strategy; the text of what it gave.
pub(crate) fn exercise(session: &mut Session, host: &mut FakeHost) -> Result<String, Broken> {
    let layers = 0..host.outline().n_layers();
    let substitutes = layers.map(|layer| substitute(session, host, layer)).collect::<Result<Vec<_>, _>>()?;
    session.ask::<()>(Method::Prepare, &(), host)?;
    let plan = select(session, host, &request(host, 2))?;
    Ok(format!("{substitutes:?} {plan:?}"))
}

fn substitutes(subject: &Subject) -> Outcome {
    subject.on_each_model(|session, host| {
        let (n_layers, width) = (host.outline().n_layers(), host.outline().hidden_size);
        for layer in 0..n_layers {
            let Substitute { module, trainable, .. } = substitute(session, host, layer)?;
            let of = |broken: Broken| Broken::from(format!("the substitute of layer {layer} {broken}"));
            let found = output_width(&module, width, n_layers).map_err(of)?;
            ensure(found == width, || format!("maps {width} to {found} values")).map_err(of)?;
            let tensors = module.tensors();
            ensure(tensors.iter().all(|tensor| tensor.is_finite()), || "has a value that is not finite".into())
                .map_err(of)?;
            ensure(!trainable || !tensors.is_empty(), || "trains, but has no tensor".into()).map_err(of)?;
        }
        Ok(())
    })
}

/// The width of `module`'s output for an input of `width`; an error for tensors that do not fit.
fn output_width(module: &Module<Array>, width: usize, n_layers: usize) -> Result<usize, Broken> {
    let sized = |tensor: &Option<Array>, size| tensor.as_ref().is_none_or(|tensor| tensor.sizes() == [size]);
    match module {
        Module::Identity | Module::Activation { .. } => Ok(width),
        Module::Linear { weight, bias } => match weight.sizes()[..] {
            [outputs, inputs] if inputs == width && sized(bias, outputs) => Ok(outputs),
            ref found => Err(format!("has a linear part of {found:?} for {width} values").into()),
        },
        Module::Norm { function, weight, bias, epsilon } => {
            let fits = weight.sizes() == [width]
                && sized(bias, width)
                && (bias.is_none() || *function == NormKind::Layer)
                && *epsilon > 0.0;
            ensure(fits, || format!("has a norm of {:?} that does not fit {width} values", weight.sizes()))?;
            Ok(width)
        }
        Module::Sequential { modules } => {
            modules.iter().try_fold(width, |width, module| output_width(module, width, n_layers))
        }
        Module::Residual { module } => {
            let found = output_width(module, width, n_layers)?;
            ensure(found == width, || format!("adds {found} values to {width}"))?;
            Ok(width)
        }
        Module::SharedWith { layer } => {
            ensure(*layer < n_layers, || format!("shares layer {layer}, the model has {n_layers}"))?;
            Ok(width)
        }
        other => Err(format!("has a part that these checks do not know: {other:?}").into()),
    }
}

/// `replace_count` layers of the host's model, with an adapter at either end.
fn request(host: &FakeHost, replace_count: usize) -> ReplaceRequest {
    let n_layers = host.outline().n_layers();
    ReplaceRequest::new(n_layers, vec![0, n_layers - 1], replace_count)
}

fn select(session: &mut Session, host: &mut FakeHost, ask: &ReplaceRequest) -> Result<LayerPlan, Broken> {
    // Neither sorted nor all different.
    let scores = (0..ask.n_layers).map(|layer| ((layer * 3) % 4) as f32 - 1.0).collect();
    select_by(session, host, scores, ask)
}

fn select_by(
    session: &mut Session,
    host: &mut FakeHost,
    scores: Vec<f32>,
    ask: &ReplaceRequest,
) -> Result<LayerPlan, Broken> {
    let question = SelectRequest::new(ImportanceScores::new(scores), ask.clone());
    Ok(session.ask(Method::Select, &question, host)?)
}

fn selections(subject: &Subject) -> Outcome {
    subject.on_each_model(|session, host| {
        let n_layers = host.outline().n_layers();
        for adapter_layers in [vec![0, n_layers - 1], vec![], vec![0, 1], vec![2]] {
            for replace_count in 0..=n_layers - adapter_layers.len() {
                let ask = ReplaceRequest::new(n_layers, adapter_layers.clone(), replace_count);
                let plan = select(session, host, &ask)?;
                let fits = plan.layers.len() == n_layers
                    && plan.layers_with(LayerRole::Adapter) == ask.adapter_layers
                    && plan.layers_with(LayerRole::Replace).len() == replace_count;
                ensure(fits, || format!("for {ask:?} it planned {:?}", plan.layers))?;
            }
        }
        Ok(())
    })
}

fn too_many(subject: &Subject) -> Outcome {
    subject.on_each_model(|session, host| {
        let ask = request(host, host.outline().n_layers());
        match select(session, host, &ask) {
            Ok(plan) => Err(format!("for {ask:?} it planned {:?}", plan.layers).into()),
            Err(broken) => ensure(broken.code() != Some(ErrorCode::Panicked), || broken.to_string()),
        }
    })
}

/// Substitutes are not asked for again: they are in the checkpoint as they are.
fn checkpoint(subject: &Subject) -> Outcome {
    subject.on_each_model(|session, host| {
        exercise(session, host)?;
        let Some(last) = host.checkpoints().len().checked_sub(1) else { return Ok(()) };
        for point in importance_checks::some_of(last) {
            let mut later = host.resumed(point);
            let mut resumed = subject.session()?;
            resumed.restore(&host.checkpoints()[point], &mut later)?;
            resumed.ask::<()>(Method::Prepare, &(), &mut later)?;
            let same = later.is_as(host) && later.curve() == host.curve();
            ensure(same, || format!("from checkpoint {} of {} it comes to another end", point + 1, last + 1))?;
        }
        Ok(())
    })
}

/// One plan for scores that rise with depth and scores that fall.
fn ignored_scores(subject: &Subject) -> Outcome {
    if !subject.declares(&Trait::IgnoresScores) {
        return Ok(());
    }
    subject.on_each_model(|session, host| {
        let ask = request(host, 1);
        let rising: Vec<f32> = (0..ask.n_layers).map(|layer| layer as f32).collect();
        let falling = rising.iter().rev().copied().collect();
        let (one, other) = (select_by(session, host, rising, &ask)?, select_by(session, host, falling, &ask)?);
        ensure(one == other, || format!("scores that rise gave {:?}, scores that fall {:?}", one.layers, other.layers))
    })
}

fn nothing_to_train(subject: &Subject) -> Outcome {
    if !subject.declares(&Trait::TrainsNothing) {
        return Ok(());
    }
    subject.on_each_model(|session, host| {
        for layer in 0..host.outline().n_layers() {
            let trains = substitute(session, host, layer)?.trainable;
            ensure(!trains, || format!("the substitute of layer {layer} trains"))?;
        }
        select(session, host, &request(host, 1))?;
        let objective = session.ask::<Option<Objective>>(Method::Objective, &(), host)?;
        let trains = objective.map_or(Trains::Substitutes, |objective| objective.trains);
        ensure(trains == Trains::Substitutes, || format!("its objective trains {trains:?}"))
    })
}

fn objective(subject: &Subject) -> Outcome {
    subject.on_each_model(|session, host| {
        let n_layers = host.outline().n_layers();
        let Some(objective) = session.ask::<Option<Objective>>(Method::Objective, &(), host)? else { return Ok(()) };
        ensure(!objective.terms.is_empty(), || "it has no term".into())?;
        objective.terms.iter().try_for_each(|(weight, term)| {
            let fits = match term {
                ObjectiveTerm::NextToken => true,
                ObjectiveTerm::HiddenMatch { layer, .. } => *layer < n_layers,
                ObjectiveTerm::LogitKl { temperature } => temperature.is_finite() && *temperature > 0.0,
                ObjectiveTerm::LossMargin { margin } => margin.is_finite(),
                _ => false,
            };
            ensure(fits && weight.is_finite(), || format!("{weight} x {term:?}"))
        })
    })
}
