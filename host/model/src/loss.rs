//! Log-probabilities and losses of chosen tokens.
//!
//! A target is `(row, token)`: how likely is `token` after the prefix that ends at `row`.
//! Hidden states are computed for rows that have a target; `head` makes logits of them, few at a time.

use super::decoder::Decoder;
use super::error::{ModelError, Result};
use super::forward::distinct;
use super::forward_plan::ForwardPlan;
use scaleot_data::PackedBatch;
use scaleot_plugin_api::LayerMask;
use scaleot_tensor::{Tensor, no_grad};
use std::collections::BTreeMap;

impl Decoder {
    /// Logits of the chosen rows: `[rows, vocabulary]`.
    ///
    /// # Errors
    /// A batch that the model cannot run, or an operation that libtorch refuses.
    pub fn logits(&self, batch: &PackedBatch, rows: &[usize]) -> Result<Tensor> {
        Ok(self.hidden_rows(batch, rows, None)?.linear(self.head_weight(), None)?)
    }

    /// `ln p(token | prefix)` of every target, in order. Records nothing for gradients.
    ///
    /// # Errors
    /// A batch that the model cannot run, or an operation that libtorch refuses.
    pub fn log_probs(&self, batch: &PackedBatch, targets: &[(usize, i64)]) -> Result<Vec<f32>> {
        let _guard = no_grad();
        self.check_targets(targets)?;
        let rows = target_rows(targets);
        let hidden = self.hidden_rows(batch, &rows, None)?;
        self.log_probs_of_hidden(&hidden, &rows, targets)
    }

    /// Mean negative log-likelihood of the targets, differentiable: a scalar.
    ///
    /// # Errors
    /// A batch that the model cannot run, or an operation that libtorch refuses.
    pub fn loss(&self, batch: &PackedBatch, targets: &[(usize, i64)], mask: Option<&LayerMask>) -> Result<Tensor> {
        self.check_targets(targets)?;
        let rows = target_rows(targets);
        let hidden = self.hidden_rows(batch, &rows, mask)?;
        self.loss_of_hidden(&hidden, &rows, targets)
    }

    /// The mean negative log-likelihood under each mask. Masks that agree on the first slots share
    /// their computation up to where they part.
    ///
    /// # Errors
    /// A batch that the model cannot run, or an operation that libtorch refuses.
    pub fn losses(&self, batch: &PackedBatch, targets: &[(usize, i64)], masks: &[LayerMask]) -> Result<Vec<f32>> {
        let _guard = no_grad();
        self.check_targets(targets)?;
        for mask in masks {
            self.check_mask(Some(mask))?;
        }
        let rows = target_rows(targets);
        let plan = self.plan(batch, &rows)?;
        let mut losses = vec![0.0; masks.len()];
        let mixture = Mixture { decoder: self, plan: &plan, masks, rows: &rows, targets };
        let all: Vec<usize> = (0..masks.len()).collect();
        mixture.descend(0, self.embed(&plan)?, &all, &mut losses)?;
        Ok(losses)
    }

    pub(super) fn check_targets(&self, targets: &[(usize, i64)]) -> Result<()> {
        let vocabulary = self.config.vocabulary as i64;
        let wrong = |found: String, expected: String| ModelError::Batch { what: "target".to_owned(), found, expected };
        if targets.is_empty() {
            return Err(wrong("not given".into(), "at least one target".into()));
        }
        match targets.iter().find(|(_, token)| !(0..vocabulary).contains(token)) {
            Some((_, token)) => Err(wrong(token.to_string(), format!("from 0 to {}", vocabulary - 1))),
            None => Ok(()),
        }
    }
}

/// The rows that have a target: sorted, each once.
pub fn target_rows(targets: &[(usize, i64)]) -> Vec<usize> {
    distinct(&targets.iter().map(|t| t.0).collect::<Vec<_>>())
}

/// The candidates of a layer mixture, run as a tree that branches where masks part.
struct Mixture<'a> {
    decoder: &'a Decoder,
    plan: &'a ForwardPlan,
    masks: &'a [LayerMask],
    rows: &'a [usize],
    targets: &'a [(usize, i64)],
}

impl Mixture<'_> {
    /// `candidates` agree on all slots before `slot`; `x` is what goes into it.
    fn descend(&self, slot: usize, x: Tensor, candidates: &[usize], losses: &mut [f32]) -> Result<()> {
        let mut x = x;
        for slot in slot..self.decoder.slots.len() {
            let groups = self.groups(slot, candidates);
            let run = |candidates: &[usize], x: &Tensor| {
                let mask = candidates.first().and_then(|&candidate| self.masks.get(candidate));
                self.decoder.run_slot(slot, x, self.plan, mask)
            };
            if groups.len() > 1 {
                let mut groups = groups.values();
                return groups.try_for_each(|group| self.descend(slot + 1, run(group, &x)?, group, losses));
            }
            x = run(candidates, &x)?;
        }
        let loss = self.loss(&x)?;
        for &candidate in candidates {
            if let Some(slot) = losses.get_mut(candidate) {
                *slot = loss;
            }
        }
        Ok(())
    }

    /// The candidates by what runs in the slot.
    fn groups(&self, slot: usize, candidates: &[usize]) -> BTreeMap<Option<Vec<usize>>, Vec<usize>> {
        let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for &candidate in candidates {
            let runs = self.decoder.replacements(slot, self.masks.get(candidate));
            groups.entry(runs).or_default().push(candidate);
        }
        groups
    }

    fn loss(&self, x: &Tensor) -> Result<f32> {
        let hidden = self.decoder.final_norm.forward(x)?;
        let log_probs = self.decoder.log_probs_of_hidden(&hidden, self.rows, self.targets)?;
        let sum: f64 = log_probs.iter().map(|&v| f64::from(v)).sum();
        Ok((-sum / log_probs.len() as f64) as f32)
    }
}
