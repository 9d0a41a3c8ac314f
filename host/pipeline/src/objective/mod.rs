//! The differentiable value of an objective on a batch: `Σ weight · term`, the full model against a mixture of its layers.
//!
//! `next_token`: mean cross-entropy of the targets. `hidden_match`: `mean((h_full − h_mixture)²)` over the `[tokens, hidden]`
//! states after a layer, divided by `mean(h_full²)` where normalised; this is Offsite-Tuning's
//! `mean(((h_T − h_S) / rms(h_T))²)` with the root mean square over the whole batch tensor (section 4.2), and the layers below
//! are the same on both sides, so both see the same input as there. `logit_kl`: `KL(full || mixture)` of the next-token
//! distributions, mean over the rows that have a target, without the factor `T²` of some papers.
//! `loss_margin`: `(loss_mixture − loss_full − margin)²`. The full model runs without gradients, as far up as a term needs.

mod passes;
mod totals;

#[cfg(test)]
mod tests;

use crate::error::StageError;
use crate::training::EachPart;
use passes::Passes;
use scaleot_data::TrainingBatch;
use scaleot_model::Decoder;
use scaleot_model::ModelError;
use scaleot_plugin_api::{LayerMask, Objective, ObjectiveTerm};
use scaleot_tensor::{Dtype, Tensor};
use totals::Totals;

/// Teacher and student; both have a slot for every layer of the full model.
#[derive(Clone, Copy)]
pub struct Sides<'a> {
    /// The full model, whatever its substitutes are.
    pub full: &'a Decoder,
    /// The model that trains.
    pub mixture: &'a Decoder,
    /// The mixture's slots that run their substitutes; `None`: none.
    pub mask: Option<&'a LayerMask>,
}

/// The objective on a batch as a scalar to run backwards from, and its value. `step` is for messages.
///
/// # Errors
/// An objective that asks for what cannot be, or `Numeric` with the term that is not finite.
pub fn loss(
    sides: Sides<'_>,
    batch: &TrainingBatch,
    objective: &Objective,
    step: u64,
) -> Result<(Tensor, f64), StageError> {
    check(objective, sides.full.slots.len())?;
    let passes = Passes::run(sides, batch, objective)?;
    let (mut sum, mut value): (Option<Tensor>, f64) = (None, 0.0);
    for (weight, term) in &objective.terms {
        let weighted = evaluate(term, &passes, sides)?.mul_scalar(*weight)?;
        value += finite(weighted.to_f64()?, term, step)?;
        sum = Some(match sum {
            Some(sum) => sum.add(&weighted)?,
            None => weighted,
        });
    }
    let sum = sum.ok_or_else(|| refused("terms", "none".into(), "at least one term".into()))?;
    Ok((sum, value))
}

/// The objective on the parts of an optimiser step as one batch: a scalar to run backwards from for each part, whose sum it is.
///
/// # Errors
/// As [`loss`].
pub fn step_loss(
    sides: Sides<'_>,
    parts: &[TrainingBatch],
    objective: &Objective,
    step: u64,
    each: &mut EachPart<'_>,
) -> Result<(), StageError> {
    if let [batch] = parts {
        return each(loss(sides, batch, objective, step)?.0);
    }
    check(objective, sides.full.slots.len())?;
    let totals = Totals::of(sides, parts, objective)?;
    for part in parts {
        let passes = Passes::run(sides, part, objective)?;
        let mut sum: Option<Tensor> = None;
        for (weight, term) in &objective.terms {
            let share = totals.share(term, &passes, part, sides)?.mul_scalar(*weight)?;
            finite(share.to_f64()?, term, step)?;
            sum = Some(match sum {
                Some(sum) => sum.add(&share)?,
                None => share,
            });
        }
        each(sum.ok_or_else(|| refused("terms", "none".into(), "at least one term".into()))?)?;
    }
    Ok(())
}

fn evaluate(term: &ObjectiveTerm, passes: &Passes, sides: Sides<'_>) -> Result<Tensor, StageError> {
    match *term {
        ObjectiveTerm::NextToken => passes.next_token(),
        ObjectiveTerm::HiddenMatch { layer, normalised } => {
            let (full, mixture) = passes.after(layer)?;
            hidden_match(full, mixture, normalised)
        }
        ObjectiveTerm::LogitKl { temperature } => {
            let (full, mixture) = passes.hidden()?;
            Ok(sides.mixture.divergence_of_hidden(full, mixture, temperature)?)
        }
        ObjectiveTerm::LossMargin { margin } => {
            let excess = passes.next_token()?.add_scalar(-(passes.full_loss()? + margin))?;
            Ok(excess.mul(&excess)?)
        }
        ref other => Err(ModelError::unknown_part(other).into()),
    }
}

fn hidden_match(full: &Tensor, mixture: &Tensor, normalised: bool) -> Result<Tensor, StageError> {
    let (full, mixture) = (full.to_dtype(Dtype::F32)?, mixture.to_dtype(Dtype::F32)?);
    let difference = mixture.sub(&full)?;
    let distance = difference.mul(&difference)?.mean_all()?;
    if !normalised {
        return Ok(distance);
    }
    Ok(distance.div(&full.mul(&full)?.mean_all()?)?)
}

/// Refuses what no type of the contract rules out.
fn check(objective: &Objective, n_layers: usize) -> Result<(), StageError> {
    for (_, term) in &objective.terms {
        match term {
            ObjectiveTerm::HiddenMatch { layer, .. } if *layer >= n_layers => {
                let expected = format!("a layer from 0 to {}", n_layers.saturating_sub(1));
                return Err(refused("hidden_match", format!("layer {layer}"), expected));
            }
            ObjectiveTerm::LogitKl { temperature } if !(temperature.is_finite() && *temperature > 0.0) => {
                return Err(refused("logit_kl", format!("temperature {temperature}"), "a number above 0".into()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn refused(what: &str, found: String, expected: String) -> StageError {
    StageError::InvalidValue { subject: "objective".into(), what: what.into(), found, expected }
}

fn finite(found: f64, term: &ObjectiveTerm, step: u64) -> Result<f64, StageError> {
    if found.is_finite() {
        return Ok(found);
    }
    let what = match term {
        ObjectiveTerm::NextToken => "the training loss (next_token)".to_owned(),
        ObjectiveTerm::HiddenMatch { layer, .. } => format!("the term hidden_match of layer {layer}"),
        ObjectiveTerm::LogitKl { temperature } => format!("the term logit_kl at temperature {temperature}"),
        ObjectiveTerm::LossMargin { margin } => format!("the term loss_margin of {margin}"),
        other => format!("the term {other:?}"),
    };
    let advice = "Lower the learning rate, or look for damaged text.";
    Err(StageError::Numeric { step, what, found, advice })
}
