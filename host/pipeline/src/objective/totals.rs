//! Divisors of the terms of a whole optimiser step, when its batches run one after the other.
//!
//! With parts `p` of `n_p` targets, `r_p` rows that have one and `t_p` tokens, the step's terms are those of one batch of all:
//! `next_token = Σ n_p/n · mean_p`, `logit_kl = Σ r_p/r · mean_p`, `hidden_match = Σ t_p/t · mean_p`; normalised
//! `Σ t_p mean_p / Σ t_p mean(h_full²)_p`; `loss_margin = (E − margin)²` with `E = Σ n_p/n (mixture_p − full_p)`. The last two need
//! sums over all parts before the first gradient: a pass without gradients, taken only where they are asked for.

use super::passes::Passes;
use super::{Sides, evaluate, hidden_match};
use crate::error::StageError;
use scaleot_data::TrainingBatch;
use scaleot_model::{ModelError, target_rows};
use scaleot_plugin_api::{Objective, ObjectiveTerm};
use scaleot_tensor::{Dtype, Tensor, no_grad};
use std::collections::BTreeMap;

/// Sums over the parts of a step.
#[derive(Default)]
pub(super) struct Totals {
    sizes: Sizes,
    /// `Σ t_p mean(h_full²)_p` after a layer.
    power: BTreeMap<usize, f64>,
    /// `E`.
    excess: f64,
}

/// `n`, `r` and `t` of a part or of all.
#[derive(Default, Clone, Copy)]
struct Sizes {
    targets: f64,
    rows: f64,
    tokens: f64,
}

impl Sizes {
    fn of(part: &TrainingBatch) -> Self {
        Self {
            targets: part.targets.len() as f64,
            rows: target_rows(&part.targets).len() as f64,
            tokens: part.batch.tokens() as f64,
        }
    }
}

impl Totals {
    /// Of all parts of a step.
    pub(super) fn of(sides: Sides<'_>, parts: &[TrainingBatch], objective: &Objective) -> Result<Self, StageError> {
        let _guard = no_grad();
        let mut totals = Self::default();
        for part in parts {
            let Sizes { targets, rows, tokens } = Sizes::of(part);
            totals.sizes.targets += targets;
            totals.sizes.rows += rows;
            totals.sizes.tokens += tokens;
        }
        let needs_sums = |term: &ObjectiveTerm| {
            matches!(term, ObjectiveTerm::HiddenMatch { normalised: true, .. } | ObjectiveTerm::LossMargin { .. })
        };
        let terms = objective.terms.iter().filter(|(_, term)| needs_sums(term)).cloned().collect();
        let asked = Objective::sum(terms).on(objective.trains);
        if !asked.terms.is_empty() {
            parts.iter().try_for_each(|part| totals.add(sides, part, &asked))?;
        }
        Ok(totals)
    }

    fn add(&mut self, sides: Sides<'_>, part: &TrainingBatch, asked: &Objective) -> Result<(), StageError> {
        let passes = Passes::run(sides, part, asked)?;
        let sizes = Sizes::of(part);
        let (mut layers, mut margin) = (Vec::new(), false);
        for (_, term) in &asked.terms {
            match term {
                ObjectiveTerm::HiddenMatch { layer, .. } => layers.push(*layer),
                _ => margin = true,
            }
        }
        layers.sort_unstable();
        layers.dedup();
        for layer in layers {
            let full = passes.after(layer)?.0.to_dtype(Dtype::F32)?;
            *self.power.entry(layer).or_default() += sizes.tokens * full.mul(&full)?.mean_all()?.to_f64()?;
        }
        if margin {
            let excess = passes.next_token()?.to_f64()? - passes.full_loss()?;
            self.excess += excess * sizes.targets / self.sizes.targets;
        }
        Ok(())
    }

    /// The share of one part in a term of the step.
    pub(super) fn share(
        &self,
        term: &ObjectiveTerm,
        passes: &Passes,
        part: &TrainingBatch,
        sides: Sides<'_>,
    ) -> Result<Tensor, StageError> {
        let sizes = Sizes::of(part);
        let weighted = |weight: f64| Ok(evaluate(term, passes, sides)?.mul_scalar(weight)?);
        match *term {
            ObjectiveTerm::NextToken => weighted(sizes.targets / self.sizes.targets),
            ObjectiveTerm::LogitKl { .. } => weighted(sizes.rows / self.sizes.rows),
            ObjectiveTerm::HiddenMatch { normalised: false, .. } => weighted(sizes.tokens / self.sizes.tokens),
            ObjectiveTerm::HiddenMatch { layer, normalised: true } => {
                let (full, mixture) = passes.after(layer)?;
                let power = self.power.get(&layer).copied().unwrap_or(0.0);
                Ok(hidden_match(full, mixture, false)?.mul_scalar(sizes.tokens / power)?)
            }
            ObjectiveTerm::LossMargin { margin } => {
                let (loss, weight) = (passes.next_token()?, sizes.targets / self.sizes.targets);
                let excess = self.excess - margin;
                // `loss − its value` is zero, and carries the gradient of the square.
                let carrier = loss.add_scalar(-loss.to_f64()?)?.mul_scalar(2.0 * excess * weight)?;
                Ok(carrier.add_scalar(excess * excess * weight)?)
            }
            ref other => Err(ModelError::unknown_part(other).into()),
        }
    }
}
