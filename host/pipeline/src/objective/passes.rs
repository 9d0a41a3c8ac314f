//! The forward passes that an objective's terms share: one of the full model, one of the mixture, each as short as it can be.

use super::{Sides, refused};
use crate::error::StageError;
use scaleot_data::TrainingBatch;
use scaleot_model::{Decoder, ForwardRequest, target_rows};
use scaleot_plugin_api::{LayerMask, Objective, ObjectiveTerm};
use scaleot_tensor::{Tensor, no_grad};

/// What one model gave.
#[derive(Default)]
struct Pass {
    /// Of the rows that have a target, after the final norm.
    hidden: Option<Tensor>,
    /// After each layer that a term matches, in the order of `Passes::layers`.
    states: Vec<Tensor>,
    /// Mean cross-entropy of the targets.
    next_token: Option<Tensor>,
}

/// What is wanted of one model.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    mask: Option<&'a LayerMask>,
    /// Boundaries: the state after layer `l` is boundary `l + 1`.
    boundaries: &'a [usize],
    hidden: bool,
    next_token: bool,
}

/// Both models on one batch.
pub(super) struct Passes {
    layers: Vec<usize>,
    full: Pass,
    mixture: Pass,
}

impl Passes {
    /// Runs what the objective's terms need. The full model goes first, so that its values are gone before the graph grows.
    pub fn run(sides: Sides<'_>, batch: &TrainingBatch, objective: &Objective) -> Result<Self, StageError> {
        let any = |is: fn(&ObjectiveTerm) -> bool| objective.terms.iter().any(|(_, term)| is(term));
        let logits = any(|term| matches!(term, ObjectiveTerm::LogitKl { .. }));
        let margin = any(|term| matches!(term, ObjectiveTerm::LossMargin { .. }));
        let next_token = margin || any(|term| matches!(term, ObjectiveTerm::NextToken));
        let layers = layers(objective);
        let boundaries: Vec<usize> = layers.iter().map(|layer| layer + 1).collect();
        let wanted = Wanted { mask: None, boundaries: &boundaries, hidden: logits, next_token: margin };
        let full = {
            let _guard = no_grad();
            pass(sides.full, batch, wanted)?
        };
        let wanted = Wanted { mask: sides.mask, next_token, ..wanted };
        let mixture = pass(sides.mixture, batch, wanted)?;
        Ok(Self { layers, full, mixture })
    }

    /// The mixture's mean cross-entropy.
    pub fn next_token(&self) -> Result<Tensor, StageError> {
        there(self.mixture.next_token.as_ref()).cloned()
    }

    /// The full model's mean cross-entropy.
    pub fn full_loss(&self) -> Result<f64, StageError> {
        Ok(there(self.full.next_token.as_ref())?.to_f64()?)
    }

    /// Hidden states of full model and mixture after the final norm.
    pub fn hidden(&self) -> Result<(&Tensor, &Tensor), StageError> {
        Ok((there(self.full.hidden.as_ref())?, there(self.mixture.hidden.as_ref())?))
    }

    /// States of full model and mixture after a layer.
    pub fn after(&self, layer: usize) -> Result<(&Tensor, &Tensor), StageError> {
        let at = self.layers.partition_point(|other| *other < layer);
        Ok((there(self.full.states.get(at))?, there(self.mixture.states.get(at))?))
    }
}

/// The layers whose states are matched: sorted, each once.
fn layers(objective: &Objective) -> Vec<usize> {
    let matched = objective.terms.iter().filter_map(|(_, term)| match term {
        ObjectiveTerm::HiddenMatch { layer, .. } => Some(*layer),
        _ => None,
    });
    let mut layers: Vec<usize> = matched.collect();
    layers.sort_unstable();
    layers.dedup();
    layers
}

fn pass(decoder: &Decoder, batch: &TrainingBatch, wanted: Wanted<'_>) -> Result<Pass, StageError> {
    let Wanted { mask, boundaries, hidden, next_token } = wanted;
    if !hidden && !next_token {
        if boundaries.is_empty() {
            return Ok(Pass::default());
        }
        let states = decoder.boundary_states(&batch.batch, ForwardRequest { rows: &[], mask, boundaries })?;
        return Ok(Pass { states, ..Pass::default() });
    }
    let rows = target_rows(&batch.targets);
    let states = decoder.states(&batch.batch, ForwardRequest { rows: &rows, mask, boundaries })?;
    let next_token =
        if next_token { Some(decoder.loss_of_hidden(&states.hidden, &rows, &batch.targets)?) } else { None };
    Ok(Pass { hidden: Some(states.hidden), states: states.boundaries, next_token })
}

/// Every term asks for what `run` computed for it.
fn there<T>(value: Option<T>) -> Result<T, StageError> {
    value.ok_or_else(|| refused("a forward pass", "no such states".into(), "those that the terms name".into()))
}
