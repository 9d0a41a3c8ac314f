//! Calls across the boundary: a method's number and JSON in, the trait's method, JSON out.

use super::entry::AnyStrategy;
use crate::adapter::{AdapterModule, Tuner};
use crate::checkpoint::Checkpoint;
use crate::compress::{CompressionReport, Compressor, LayerWeights};
use crate::error::{ErrorCode, PluginError};
use crate::host::Host;
use crate::importance_scores::ImportanceScores;
use crate::method::Method;
use crate::module::Substitute;
use crate::outline::{LayerOutline, WeightRole};
use crate::plan::ReplaceRequest;
use crate::services::carrier::HostServices;
use crate::tensor::{Handle, Tensor};
use crate::weight_form::WeightForm;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// The question of [`Method::Select`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SelectRequest {
    /// Scores of the importance stage.
    pub scores: ImportanceScores,
    /// The request.
    pub ask: ReplaceRequest,
}

impl SelectRequest {
    /// The question of a host.
    #[must_use]
    pub fn new(scores: ImportanceScores, ask: ReplaceRequest) -> Self {
        Self { scores, ask }
    }
}

/// The question of [`Method::Compress`]: handles that the plugin owns from here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CompressRequest {
    /// The layer.
    pub outline: LayerOutline,
    /// Its weights.
    pub weights: Vec<(WeightRole, Handle)>,
}

impl CompressRequest {
    /// The question of a host.
    #[must_use]
    pub fn new(outline: LayerOutline, weights: Vec<(WeightRole, Handle)>) -> Self {
        Self { outline, weights }
    }
}

/// The answer of [`Method::Compress`]: handles that the host owns from here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CompressAnswer {
    /// The weights that changed.
    pub changed: Vec<(WeightRole, WeightForm<Handle>)>,
    /// The report on them.
    pub report: CompressionReport,
}

/// Runs one method of a strategy: JSON in, JSON out; the state of `Save` and `Restore` is bytes of the strategy's own.
///
/// # Errors
/// Those of the strategy; `Unsupported` when the strategy is of another kind; `Numeric` for an answer that is not
/// finite, because JSON would carry it as `null`.
pub fn reply(
    strategy: &mut AnyStrategy,
    method: Method,
    request: &[u8],
    services: &mut dyn HostServices,
) -> Result<Vec<u8>, PluginError> {
    match (strategy, method) {
        (AnyStrategy::Importance(s), Method::Estimate) => {
            let scores = s.estimate(&mut Host::new(services))?;
            for (layer, &score) in scores.scores.iter().enumerate() {
                finite(f64::from(score), || format!("the importance score of layer {layer}"))?;
            }
            json(&scores)
        }
        (AnyStrategy::Replace(s), Method::Substitute) => {
            let layer: LayerOutline = serde_json::from_slice(request)?;
            let substitute = s.substitute(&layer, &mut Host::new(services))?;
            json(&substitute_handles(substitute))
        }
        (AnyStrategy::Replace(s), Method::Select) => {
            let SelectRequest { scores, ask } = serde_json::from_slice(request)?;
            json(&s.select(&scores, &ask)?)
        }
        (AnyStrategy::Replace(s), Method::Prepare) => json(&s.prepare(&mut Host::new(services))?),
        (AnyStrategy::Replace(s), Method::Objective) => json(&s.objective()),
        (AnyStrategy::Compress(s), Method::Compress) => compress(s.as_mut(), request, services),
        (AnyStrategy::Adapter(s), Method::Attach) => {
            let module: AdapterModule = s.attach(&serde_json::from_slice(request)?)?;
            json(&module)
        }
        (AnyStrategy::Adapter(s), Method::Step) => {
            let report = s.step(&mut Tuner::new(&mut Host::new(services)))?;
            finite(report.loss, || "the loss of a tuning step".into())?;
            json(&report)
        }
        (strategy, method @ (Method::Save | Method::Restore)) => match (strategy.state(), method) {
            (Some(state), Method::Save) => state.save(),
            (Some(state), _) => state.restore(request).map(|()| Vec::new()),
            (None, method) => {
                Err(PluginError::unsupported(format!("{method:?} was asked of a strategy that keeps nothing")))
            }
        },
        (_, method) => Err(PluginError::unsupported(format!("{method:?} was asked of a strategy of another kind"))),
    }
}

impl AnyStrategy {
    /// The state of the kinds that a run can be stopped in.
    fn state(&mut self) -> Option<&mut dyn Checkpoint> {
        match self {
            Self::Importance(s) => Some(s.as_mut()),
            Self::Replace(s) => Some(s.as_mut()),
            Self::Adapter(s) => Some(s.as_mut()),
            Self::Compress(_) => None,
        }
    }
}

fn json<T: Serialize>(answer: &T) -> Result<Vec<u8>, PluginError> {
    Ok(serde_json::to_vec(answer)?)
}

fn finite(number: f64, what: impl FnOnce() -> String) -> Result<(), PluginError> {
    if number.is_finite() {
        return Ok(());
    }
    Err(PluginError::new(ErrorCode::Numeric, format!("{} is {number}", what())))
}

fn substitute_handles(substitute: Substitute) -> Substitute<Handle> {
    let Substitute { module, trainable } = substitute;
    let module = module.try_map::<_, std::convert::Infallible>(&mut |tensor| Ok(tensor.into_handle()));
    Substitute { module: module.unwrap_or_else(|never| match never {}), trainable }
}

fn compress(
    strategy: &mut dyn Compressor,
    request: &[u8],
    services: &mut dyn HostServices,
) -> Result<Vec<u8>, PluginError> {
    let CompressRequest { outline, weights } = serde_json::from_slice(request)?;
    let releaser = services.releaser();
    let weights = weights.into_iter().map(|(role, handle)| (role, Tensor::adopt(handle, Rc::clone(&releaser))));
    let mut layer = LayerWeights::new(outline, weights.collect());
    let report = strategy.compress(&mut layer, &mut Host::new(services))?;
    for matrix in &report.matrices {
        finite(matrix.residual_energy, || format!("the residual energy of {}", matrix.role))?;
    }
    let changed = layer.into_changed().into_iter().map(|(role, form)| (role, form_handles(form))).collect();
    json(&CompressAnswer { changed, report })
}

fn form_handles(form: WeightForm) -> WeightForm<Handle> {
    match form {
        WeightForm::Dense { weight } => WeightForm::Dense { weight: weight.into_handle() },
        WeightForm::Factored { left, right } => {
            WeightForm::Factored { left: left.into_handle(), right: right.into_handle() }
        }
    }
}
