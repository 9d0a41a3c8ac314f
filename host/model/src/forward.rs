//! The forward pass: hidden states of chosen rows, and of the residual stream between slots.
//!
//! A *boundary* `b` is what goes into slot `b`; boundary `slots` is what leaves the last one, before
//! the final norm. All states are `[rows, hidden]`.

use super::decoder::Decoder;
use super::error::{ModelError, Result};
use super::forward_plan::ForwardPlan;
use super::segments::Segmenter;
use scaleot_data::PackedBatch;
use scaleot_plugin_api::LayerMask;
use scaleot_tensor::{Tensor, no_grad};

/// A request for the results of a forward pass.
#[derive(Clone, Copy, Default)]
pub struct ForwardRequest<'a> {
    /// Token rows whose final hidden states are wanted, in any order.
    pub rows: &'a [usize],
    /// The slots that run their substitutes; `None`: none.
    pub mask: Option<&'a LayerMask>,
    /// Boundaries whose states of all tokens are wanted, ascending.
    pub boundaries: &'a [usize],
}

/// The results of a forward pass.
pub struct States {
    /// After the final norm: `[rows, hidden]`.
    pub hidden: Tensor,
    /// One `[tokens, hidden]` for each boundary asked for.
    pub boundaries: Vec<Tensor>,
}

impl Decoder {
    /// Hidden states after the final norm of the chosen rows, in their order: `[rows, hidden]`.
    ///
    /// # Errors
    /// A batch that the model cannot run, or an operation that libtorch refuses.
    pub fn hidden_rows(&self, batch: &PackedBatch, rows: &[usize], mask: Option<&LayerMask>) -> Result<Tensor> {
        Ok(self.states(batch, ForwardRequest { rows, mask, boundaries: &[] })?.hidden)
    }

    /// One forward pass; records gradients unless switched off.
    ///
    /// # Errors
    /// A batch that the model cannot run, or an operation that libtorch refuses.
    pub fn states(&self, batch: &PackedBatch, request: ForwardRequest<'_>) -> Result<States> {
        self.check_mask(request.mask)?;
        self.check_boundaries(request.boundaries)?;
        let wanted = distinct(request.rows);
        let all: Vec<usize> = (0..batch.tokens()).collect();
        // The last slot drops rows: not when its output is wanted whole.
        let whole = request.boundaries.last() == Some(&self.slots.len());
        let rows = if whole { &all } else { &wanted };
        let plan = self.plan(batch, rows)?;
        let (x, boundaries) = self.run_slots(&plan, request, self.slots.len())?;
        let hidden = pick_rows(&self.final_norm.forward(&x)?, rows, request.rows)?;
        Ok(States { hidden, boundaries })
    }

    /// The boundaries asked for, of all tokens; nothing above the last of them runs, and `rows` has no say.
    ///
    /// # Errors
    /// A batch that the model cannot run, or an operation that libtorch refuses.
    pub fn boundary_states(&self, batch: &PackedBatch, request: ForwardRequest<'_>) -> Result<Vec<Tensor>> {
        self.check_mask(request.mask)?;
        self.check_boundaries(request.boundaries)?;
        let all: Vec<usize> = (0..batch.tokens()).collect();
        let plan = self.plan(batch, &all)?;
        let end = request.boundaries.last().copied().unwrap_or(0);
        Ok(self.run_slots(&plan, request, end)?.1)
    }

    /// All boundaries, of all tokens; records nothing for gradients.
    ///
    /// # Errors
    /// A batch that the model cannot run, or an operation that libtorch refuses.
    pub fn layer_states(&self, batch: &PackedBatch) -> Result<Vec<Tensor>> {
        let _guard = no_grad();
        let boundaries: Vec<usize> = (0..=self.slots.len()).collect();
        self.boundary_states(batch, ForwardRequest { rows: &[], mask: None, boundaries: &boundaries })
    }

    /// Runs slots `0..end`: what leaves the last of them, and the boundaries asked for.
    fn run_slots(&self, plan: &ForwardPlan, request: ForwardRequest<'_>, end: usize) -> Result<(Tensor, Vec<Tensor>)> {
        let mut boundaries = Vec::with_capacity(request.boundaries.len());
        let mut x = self.embed(plan)?;
        for slot in 0..end {
            if request.boundaries.contains(&slot) {
                boundaries.push(x.clone());
            }
            x = self.run_slot(slot, &x, plan, request.mask)?;
        }
        if request.boundaries.last() == Some(&end) {
            boundaries.push(x.clone());
        }
        Ok((x, boundaries))
    }

    fn check_boundaries(&self, boundaries: &[usize]) -> Result<()> {
        let ascending = boundaries.is_sorted_by(|a, b| a < b);
        if ascending && boundaries.last().is_none_or(|&last| last <= self.slots.len()) {
            return Ok(());
        }
        Err(ModelError::Batch {
            what: "boundaries".to_owned(),
            found: format!("{boundaries:?}"),
            expected: format!("ascending, from 0 to {}", self.slots.len()),
        })
    }

    /// `rows` sorted and distinct.
    pub(super) fn plan(&self, batch: &PackedBatch, rows: &[usize]) -> Result<ForwardPlan> {
        ForwardPlan::new(&self.config, batch, rows, Segmenter::new(self.dtype(), self.device()))
    }

    /// The input of slot 0.
    pub(super) fn embed(&self, plan: &ForwardPlan) -> Result<Tensor> {
        let x = self.embedding.embedding(&plan.ids)?;
        match (&self.position_embedding, &plan.position_rows) {
            (Some(table), Some(rows)) => Ok(x.add(&table.embedding(rows)?)?),
            _ => Ok(x),
        }
    }
}

/// `x` belongs to `have`, sorted and distinct; the result to `want`.
fn pick_rows(x: &Tensor, have: &[usize], want: &[usize]) -> Result<Tensor> {
    if have == want {
        return Ok(x.clone());
    }
    let order: Vec<usize> = want.iter().map(|row| have.partition_point(|h| h < row)).collect();
    Ok(x.index_select(0, &Tensor::from_indices(&order)?.to_device(x.device())?)?)
}

/// The rows in order, each once.
pub(super) fn distinct(rows: &[usize]) -> Vec<usize> {
    let mut distinct = rows.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    distinct
}
