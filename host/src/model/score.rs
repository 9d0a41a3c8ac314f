//! Log-probabilities and losses of chosen tokens.
//!
//! A target is `(row, token)`: how likely is `token` after the prefix that ends at `row`.
//! Logits exist only for rows that have a target; without gradients only a chunk of rows at a time.

use super::batch::PackedBatch;
use super::decoder::Decoder;
use super::error::{ModelError, Result};
use super::plan::Plan;
use super::states::distinct;
use crate::tensor::{Dtype, Tensor, no_grad};
use plugin_api::LayerMask;

/// Rows whose logits are held at once: 128 × 50,000 × 4 bytes = 25 MB.
const CHUNK: usize = 128;

impl Decoder {
    /// Logits of the chosen rows: `[rows, vocabulary]`.
    pub fn logits(&self, batch: &PackedBatch, rows: &[usize]) -> Result<Tensor> {
        Ok(self.hidden_rows(batch, rows, None)?.linear(self.head_weight(), None)?)
    }

    /// `ln p(token | prefix)` of every target, in order. Records nothing for gradients.
    pub fn log_probs(&self, batch: &PackedBatch, targets: &[(usize, i64)]) -> Result<Vec<f32>> {
        let _guard = no_grad();
        self.check_targets(targets)?;
        let rows = target_rows(targets);
        let hidden = self.hidden_rows(batch, &rows, None)?;
        self.token_log_probs(&hidden, &rows, targets)
    }

    /// Mean negative log-likelihood of the targets, differentiable: a scalar.
    pub fn loss(&self, batch: &PackedBatch, targets: &[(usize, i64)], mask: Option<&LayerMask>) -> Result<Tensor> {
        self.check_targets(targets)?;
        let rows: Vec<usize> = targets.iter().map(|t| t.0).collect();
        let tokens: Vec<i64> = targets.iter().map(|t| t.1).collect();
        let hidden = self.hidden_rows(batch, &rows, mask)?;
        let logits = hidden.linear(self.head_weight(), None)?.to_dtype(Dtype::F32)?;
        let tokens = Tensor::from_i64(&tokens, &[tokens.len() as i64])?;
        Ok(logits.cross_entropy(&tokens.to_device(self.device())?)?)
    }

    /// The mean negative log-likelihood under each mask. Masks that agree on the first slots share
    /// their computation up to where they part.
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

    fn check_targets(&self, targets: &[(usize, i64)]) -> Result<()> {
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

    /// `hidden` `[rows, hidden]` belongs to `rows`, sorted and distinct.
    fn token_log_probs(&self, hidden: &Tensor, rows: &[usize], targets: &[(usize, i64)]) -> Result<Vec<f32>> {
        let mut by_row: Vec<(usize, i64, usize)> = targets
            .iter()
            .enumerate()
            .map(|(i, &(row, token))| (rows.partition_point(|r| *r < row), token, i))
            .collect();
        by_row.sort_unstable();
        let mut log_probs = vec![0f32; targets.len()];
        let mut rest = by_row.as_slice();
        for start in (0..rows.len()).step_by(CHUNK) {
            let n = CHUNK.min(rows.len() - start);
            let (here, after) = rest.split_at(rest.partition_point(|t| t.0 < start + n));
            rest = after;
            let chunk = hidden.narrow(0, start as i64, n as i64)?;
            let values = self.chunk_log_probs(&chunk, start, here)?;
            for (&(_, _, target), value) in here.iter().zip(values) {
                if let Some(slot) = log_probs.get_mut(target) {
                    *slot = value;
                }
            }
        }
        Ok(log_probs)
    }

    /// `targets` are `(row, token, _)` with rows from `start`.
    fn chunk_log_probs(&self, hidden: &Tensor, start: usize, targets: &[(usize, i64, usize)]) -> Result<Vec<f32>> {
        let logits = hidden.linear(self.head_weight(), None)?.to_dtype(Dtype::F32)?;
        let vocabulary = self.config.vocabulary as i64;
        let flat: Vec<i64> = targets.iter().map(|&(row, token, _)| (row - start) as i64 * vocabulary + token).collect();
        let flat = Tensor::from_i64(&flat, &[flat.len() as i64])?.to_device(self.device())?;
        let log_probs = logits.log_softmax(-1)?.reshape(&[-1])?;
        Ok(log_probs.index_select(0, &flat)?.to_vec_f32()?)
    }
}

fn target_rows(targets: &[(usize, i64)]) -> Vec<usize> {
    distinct(&targets.iter().map(|t| t.0).collect::<Vec<_>>())
}

/// The candidates of a layer mixture, run as a tree that branches where masks part.
struct Mixture<'a> {
    decoder: &'a Decoder,
    plan: &'a Plan,
    masks: &'a [LayerMask],
    rows: &'a [usize],
    targets: &'a [(usize, i64)],
}

impl Mixture<'_> {
    /// `candidates` agree on all slots before `slot`; `x` is what goes into it.
    fn descend(&self, slot: usize, x: Tensor, candidates: &[usize], losses: &mut [f32]) -> Result<()> {
        let mut x = x;
        for slot in slot..self.decoder.slots.len() {
            let (replaced, kept): (Vec<usize>, Vec<usize>) =
                candidates.iter().partition(|&&c| self.is_substituted(c, slot));
            if !replaced.is_empty() && !kept.is_empty() {
                let y = self.decoder.run_slot(slot, &x, self.plan, true)?;
                self.descend(slot + 1, y, &replaced, losses)?;
                let y = self.decoder.run_slot(slot, &x, self.plan, false)?;
                return self.descend(slot + 1, y, &kept, losses);
            }
            x = self.decoder.run_slot(slot, &x, self.plan, kept.is_empty())?;
        }
        let loss = self.loss(&x)?;
        for &candidate in candidates {
            if let Some(slot) = losses.get_mut(candidate) {
                *slot = loss;
            }
        }
        Ok(())
    }

    fn is_substituted(&self, candidate: usize, slot: usize) -> bool {
        let mask = self.masks.get(candidate);
        mask.is_some_and(|m| m.original.get(slot) == Some(&false))
    }

    fn loss(&self, x: &Tensor) -> Result<f32> {
        let hidden = self.decoder.final_norm.forward(x)?;
        let log_probs = self.decoder.token_log_probs(&hidden, self.rows, self.targets)?;
        let sum: f64 = log_probs.iter().map(|&v| f64::from(v)).sum();
        Ok((-sum / log_probs.len() as f64) as f32)
    }
}
