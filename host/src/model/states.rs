//! The residual stream between layers: `[tokens, hidden]` before every slot, and after the last.

use super::batch::PackedBatch;
use super::decoder::Decoder;
use super::error::Result;
use crate::tensor::{Tensor, no_grad};

impl Decoder {
    /// `slots + 1` states of every token, before the final norm; records nothing for gradients.
    pub fn layer_states(&self, batch: &PackedBatch) -> Result<Vec<Tensor>> {
        let _guard = no_grad();
        let rows: Vec<usize> = (0..batch.tokens()).collect();
        let plan = self.plan(batch, &rows)?;
        let mut x = self.embed(&plan)?;
        let mut states = Vec::with_capacity(self.slots.len() + 1);
        for slot in 0..self.slots.len() {
            // A layer may use up the memory that it is given.
            states.push(x.deep_copy()?);
            x = self.run_slot(slot, x, &plan, false)?;
        }
        states.push(x);
        Ok(states)
    }
}
