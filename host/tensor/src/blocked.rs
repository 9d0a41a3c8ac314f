//! Causal attention of long sequences on the CPU, block by block of queries, its products in oneDNN.
//!
//! For queries `s..e` only keys `0..e` are multiplied: `softmax(q kᵀ / √d + mask) v` with the mask on
//! the last square alone. libtorch's own kernel does its products in MKL (see `onednn`); above some 200
//! tokens this is a third faster on few threads. Without gradients only.

use super::{Device, Dtype, Result, Tensor, grad_enabled, threads};

/// Rows of a block: its scores, for a few heads and a thousand keys, stay in the cache.
const BLOCK: i64 = 128;
const LONG: i64 = 192;
/// A block is too little work for many threads; libtorch's kernel shares out heads and blocks.
const FEW_THREADS: usize = 4;

/// True if it pays: `[batch, heads, len, head_dim]` on the CPU, in f32, long, unrecorded.
pub(super) fn applies(query: &Tensor, key: &Tensor, value: &Tensor) -> bool {
    let plain = |t: &Tensor| t.device() == Device::Cpu && t.dtype() == Dtype::F32;
    let recorded = grad_enabled() && [query, key, value].iter().any(|t| t.requires_grad());
    let (&[_, heads, len, _], &[_, groups, keys, _]) = (query.shape().as_slice(), key.shape().as_slice()) else {
        return false;
    };
    let fits = len == keys && len >= LONG && groups > 0 && heads % groups == 0 && key.shape() == value.shape();
    fits && !recorded && threads() <= FEW_THREADS && [query, key, value].iter().all(|t| plain(t))
}

/// Causal attention, `[batch, heads, len, head_dim]` as a view of `[batch, len, heads, head_dim]`.
pub(super) fn causal(query: &Tensor, key: &Tensor, value: &Tensor) -> Result<Tensor> {
    let (batch, heads, len, width) = (query.size(0)?, query.size(1)?, query.size(2)?, query.size(3)?);
    let groups = key.size(1)?;
    let out = Tensor::zeros(&[batch, len, heads, width], Dtype::F32, Device::Cpu)?;
    let mask = causal_mask(BLOCK.min(len))?;
    let shared = heads / groups;
    for sequence in 0..batch {
        for group in 0..groups {
            let head = |x: &Tensor| x.select(0, sequence)?.select(0, group)?.contiguous();
            let heads = Heads {
                query: query.select(0, sequence)?.narrow(0, group * shared, shared)?,
                key: head(key)?,
                value: head(value)?,
            };
            heads.attend(&out.select(0, sequence)?.narrow(1, group * shared, shared)?, &mask)?;
        }
    }
    out.transpose(1, 2)
}

/// `[block, block]`: −∞ above the diagonal.
fn causal_mask(block: i64) -> Result<Tensor> {
    let value = |row: i64, column: i64| if column > row { f32::NEG_INFINITY } else { 0.0 };
    let values: Vec<f32> = (0..block).flat_map(|row| (0..block).map(move |column| value(row, column))).collect();
    Tensor::from_f32(&values, &[block, block])
}

/// The query heads `[heads, len, width]` that share one head of keys and values `[len, width]`.
struct Heads {
    query: Tensor,
    key: Tensor,
    value: Tensor,
}

impl Heads {
    /// Fills `out` `[len, heads, width]`.
    fn attend(&self, out: &Tensor, mask: &Tensor) -> Result<()> {
        let (heads, len, width) = (self.query.size(0)?, self.query.size(1)?, self.query.size(2)?);
        let scale = 1.0 / (width as f64).sqrt();
        for start in (0..len).step_by(BLOCK as usize) {
            let rows = BLOCK.min(len - start);
            let keys = start + rows;
            let query = self.query.narrow(1, start, rows)?.mul_scalar(scale)?.reshape(&[heads * rows, width])?;
            let scores = query.linear(&self.key.narrow(0, 0, keys)?, None)?.view(&[heads, rows, keys])?;
            let mask = mask.narrow(0, 0, rows)?.narrow(1, 0, rows)?;
            scores.narrow(2, start, rows)?.add_(&mask)?;
            let weights = scores.softmax(-1)?.view(&[heads * rows, keys])?;
            let mixed = weights.linear(&self.value.narrow(0, 0, keys)?.transpose(0, 1)?, None)?;
            out.narrow(0, start, rows)?.copy_(&mixed.view(&[heads, rows, width])?.transpose(0, 1)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Attention, NormalStream, no_grad};

    #[test]
    fn blocks_give_what_the_fused_kernel_gives() {
        let mut stream = NormalStream::new(3, 0);
        for (batch, heads, groups, len, width) in [(1, 6, 2, 300, 16), (2, 3, 3, 256, 8), (1, 4, 1, 193, 4)] {
            let mut draw = |heads| stream.tensor(&[batch, len, heads, width], 1.0).unwrap().transpose(1, 2).unwrap();
            let (query, key, value) = (draw(heads), draw(groups), draw(groups));
            assert!(super::applies(&query, &key, &value));
            let _guard = no_grad();
            let blocked = super::causal(&query, &key, &value).unwrap();
            // A mask that says the same takes libtorch's own way.
            let mask = super::causal_mask(len).unwrap().reshape(&[1, 1, len, len]).unwrap();
            let fused = query.attention(&key, &value, Attention::Masked(&mask)).unwrap();
            let difference = blocked.sub(&fused).unwrap().abs().unwrap().max_all().unwrap().to_f64().unwrap();
            assert!(difference < 1e-5, "{difference}");
        }
    }
}
