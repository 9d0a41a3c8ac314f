//! Attention over a pack: each segment is one fused call.
//!
//! `q` `[queries, heads · d]`, `k` and `v` `[tokens, key_value_heads · d]` → `[queries, heads · d]`.

use super::segments::Segment;
use scaleot_tensor::{Attention, Result, Tensor};

/// Queries, keys and values of a pack, heads still side by side.
pub(super) struct Qkv {
    pub q: Tensor,
    pub k: Tensor,
    pub v: Tensor,
    pub head_dim: i64,
}

impl Qkv {
    /// The attended values of every query, in the order of the pack.
    pub(crate) fn attend(&self, segments: &[Segment]) -> Result<Tensor> {
        if let [only] = segments {
            return self.segment(only, &self.q, &self.k, &self.v);
        }
        let queries: Vec<i64> = segments.iter().map(|s| s.query_rows).collect();
        let keys: Vec<i64> = segments.iter().map(|s| s.key_rows).collect();
        // One split, not many narrows: its gradient is one join.
        let parts = self.q.split(&queries, 0)?.into_iter();
        let parts = parts.zip(self.k.split(&keys, 0)?).zip(self.v.split(&keys, 0)?);
        let mut outputs = Vec::with_capacity(segments.len());
        for (segment, ((q, k), v)) in segments.iter().zip(parts) {
            if segment.query_rows > 0 {
                outputs.push(self.segment(segment, &q, &k, &v)?);
            }
        }
        Tensor::cat(&outputs, 0)
    }

    fn segment(&self, segment: &Segment, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        // [n · len, heads · d] → [n, heads, len, d]: a view, unless rows are gathered
        let heads = |x: &Tensor, len: i64, rows: Option<&Tensor>| {
            let x = rows.map_or_else(|| Ok(x.clone()), |rows| x.index_select(0, rows))?;
            x.view(&[segment.n, len, x.size(-1)? / self.head_dim, self.head_dim])?.transpose(1, 2)
        };
        let padding = segment.padding.as_ref();
        let k = heads(k, segment.keys, padding.map(|p| &p.keys))?;
        let v = heads(v, segment.keys, padding.map(|p| &p.keys))?;
        let width = q.size(-1)?;
        let q = heads(q, segment.queries, padding.map(|p| &p.queries))?;
        let mask = segment.mask.as_ref().map(|mask| mask.to_dtype(q.dtype())).transpose()?;
        let kind = mask.as_ref().map_or(Attention::Causal, Attention::Masked);
        let out = q.attention(&k, &v, kind)?.transpose(1, 2)?.reshape(&[segment.n * segment.queries, width])?;
        padding.map_or_else(|| Ok(out.clone()), |p| out.index_select(0, &p.back))
    }
}
