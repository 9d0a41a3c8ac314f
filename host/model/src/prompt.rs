//! Trained positions beside the context of an attention (LLaMA-Adapter, Zhang et al. 2023, arXiv 2303.16199, section 3):
//! `attended + gate softmax(q (P W_k)ᵀ / √d) (P W_v)`, before the output projection.
//!
//! `P` `[length, hidden]`, `gate` `[1]`; `q` `[queries, heads · d]` as the attention uses it, turned where positions are rotary. The
//! keys of the prompt have no position and no mask: every query sees all of them, so nothing is cached and packing does not matter.
//! A gate of zero leaves the layer as it is.

use super::projection::Projection;
use scaleot_tensor::{Dtype, Result, Tensor};

/// The tensors that train.
#[derive(Clone, Debug)]
pub struct SoftPrompt {
    /// `[length, hidden]`.
    pub prompt: Tensor,
    /// `[1]`.
    pub gate: Tensor,
}

impl SoftPrompt {
    /// Both tensors.
    pub fn tensors(&self) -> [&Tensor; 2] {
        [&self.prompt, &self.gate]
    }

    /// The addition to the attended values, `[queries, heads · d]`. Heads that share a key are rows of one product.
    pub(super) fn attend(&self, q: &Tensor, k: &Projection, v: &Projection, head_dim: i64) -> Result<Tensor> {
        // [length, key_value_heads · d] → [key_value_heads, length, d]
        let heads = |x: Tensor| {
            let (length, width) = (x.size(0)?, x.size(1)?);
            x.view(&[length, width / head_dim, head_dim])?.transpose(0, 1)
        };
        let prompt = self.prompt.to_dtype(q.dtype())?;
        let (keys, values) = (heads(k.forward(&prompt)?)?, heads(v.forward(&prompt)?)?);
        let (queries, width, shared) = (q.size(0)?, q.size(1)?, keys.size(0)?);
        let group = width / head_dim / shared;
        let grouped = q.reshape(&[queries, shared, group, head_dim])?.transpose(0, 1)?;
        let rows = grouped.reshape(&[shared, queries * group, head_dim])?;
        let scores = rows.matmul(&keys.transpose(1, 2)?)?.mul_scalar(1.0 / (head_dim as f64).sqrt())?;
        let weights = scores.to_dtype(Dtype::F32)?.softmax(-1)?.to_dtype(q.dtype())?;
        let seen = weights.matmul(&values)?.reshape(&[shared, queries, group, head_dim])?;
        seen.transpose(0, 1)?.reshape(&[queries, width])?.mul(&self.gate.to_dtype(q.dtype())?)
    }
}
