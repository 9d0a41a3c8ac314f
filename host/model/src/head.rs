//! From hidden states to log-probabilities and the loss, a chunk of rows at a time.
//!
//! `z = h Wᵀ`, `ln p(t) = z_t − ln Σ eᶻ`. With a frozen head the gradient of the mean loss is known as
//! soon as the logits are, `∂/∂h = Σ_targets (softmax(z) − onehot) W / n`, so it is computed in the same
//! pass and no logits are kept: 64 rows × 50,000 tokens × 4 bytes = 13 MB at most.

use super::decoder::Decoder;
use super::error::Result;
use scaleot_tensor::{Dtype, Tensor, grad_enabled, no_grad};

/// Rows whose logits are held at once.
pub(super) const CHUNK: usize = 64;

/// The targets of a chunk: places in its flattened logits, and where each stands among all targets.
struct Chunk {
    hidden: Tensor,
    /// `row · vocabulary + token`.
    flat: Tensor,
    order: Vec<usize>,
    /// Targets of each row, `[rows, 1]`; `None`: one each.
    counts: Option<Tensor>,
}

impl Decoder {
    /// `ln p(token | prefix)` of every target. `hidden` `[rows, hidden]` belongs to `rows`, sorted and
    /// distinct, which hold every row of the targets.
    pub(super) fn log_probs_of_hidden(
        &self,
        hidden: &Tensor,
        rows: &[usize],
        targets: &[(usize, i64)],
    ) -> Result<Vec<f32>> {
        let mut log_probs = vec![0f32; targets.len()];
        for chunk in self.chunks(hidden, rows, targets)? {
            scatter(&self.chunk_log_probs(&chunk)?.1, &chunk.order, &mut log_probs);
        }
        Ok(log_probs)
    }

    /// The mean negative log-likelihood, differentiable with respect to `hidden` and an unfrozen head.
    /// `hidden` `[rows, hidden]` belongs to `rows`, sorted and distinct, which hold every row of the targets.
    ///
    /// # Errors
    /// Targets on rows that are not there, or an operation that libtorch refuses.
    pub fn loss_of_hidden(&self, hidden: &Tensor, rows: &[usize], targets: &[(usize, i64)]) -> Result<Tensor> {
        self.check_targets(targets)?;
        if grad_enabled() && self.head_weight().requires_grad() {
            return self.loss_with_whole_graph(hidden, rows, targets);
        }
        let recorded = grad_enabled() && hidden.requires_grad();
        let mut log_probs = vec![0f32; targets.len()];
        let mut gradients = Vec::new();
        {
            let _guard = no_grad();
            for chunk in self.chunks(&hidden.detach()?, rows, targets)? {
                let (all, values) = self.chunk_log_probs(&chunk)?;
                scatter(&values, &chunk.order, &mut log_probs);
                if recorded {
                    gradients.push(self.chunk_gradient(all, &chunk)?);
                }
            }
        }
        let sum: f64 = log_probs.iter().map(|&v| f64::from(v)).sum();
        let n = targets.len() as f64;
        scalar_with_gradient(-sum / n, hidden, &gradients, 1.0 / n)
    }

    /// A head that trains needs its logits in the graph.
    fn loss_with_whole_graph(&self, hidden: &Tensor, rows: &[usize], targets: &[(usize, i64)]) -> Result<Tensor> {
        let places: Vec<usize> = targets.iter().map(|&(row, _)| place(rows, row)).collect();
        let tokens: Vec<i64> = targets.iter().map(|&(_, token)| token).collect();
        let device = self.device();
        let hidden = hidden.index_select(0, &Tensor::from_indices(&places)?.to_device(device)?)?;
        let logits = hidden.linear(self.head_weight(), None)?.to_dtype(Dtype::F32)?;
        let tokens = Tensor::from_i64(&tokens, &[tokens.len() as i64])?.to_device(device)?;
        Ok(logits.cross_entropy(&tokens)?)
    }

    fn chunks(&self, hidden: &Tensor, rows: &[usize], targets: &[(usize, i64)]) -> Result<Vec<Chunk>> {
        let mut sorted: Vec<(usize, i64, usize)> =
            targets.iter().enumerate().map(|(i, &(row, token))| (place(rows, row), token, i)).collect();
        sorted.sort_unstable();
        let mut rest = sorted.as_slice();
        let mut chunks = Vec::with_capacity(rows.len().div_ceil(CHUNK));
        for start in (0..rows.len()).step_by(CHUNK) {
            let n = CHUNK.min(rows.len() - start);
            let (here, after) = rest.split_at(rest.partition_point(|t| t.0 < start + n));
            rest = after;
            let hidden = hidden.narrow(0, start as i64, n as i64)?;
            chunks.push(self.chunk(hidden, start, here)?);
        }
        Ok(chunks)
    }

    /// `targets` are `(place, token, index)`, places from `start`.
    fn chunk(&self, hidden: Tensor, start: usize, targets: &[(usize, i64, usize)]) -> Result<Chunk> {
        let (vocabulary, device) = (self.config.vocabulary as i64, self.device());
        let rows = hidden.size(0)?;
        let flat: Vec<i64> = targets.iter().map(|&(row, token, _)| (row - start) as i64 * vocabulary + token).collect();
        let flat = Tensor::from_i64(&flat, &[flat.len() as i64])?.to_device(device)?;
        let mut counts = vec![0f32; rows as usize];
        for (row, _, _) in targets {
            if let Some(count) = counts.get_mut(row - start) {
                *count += 1.0;
            }
        }
        let counts = match counts.iter().all(|&count| count == 1.0) {
            true => None,
            false => Some(Tensor::from_f32(&counts, &[rows, 1])?.to_device(device)?),
        };
        let order = targets.iter().map(|t| t.2).collect();
        Ok(Chunk { hidden, flat, order, counts })
    }

    /// All log-probabilities of the chunk `[rows, vocabulary]`, and those of its targets.
    fn chunk_log_probs(&self, chunk: &Chunk) -> Result<(Tensor, Vec<f32>)> {
        let logits = chunk.hidden.linear(self.head_weight(), None)?.to_dtype(Dtype::F32)?;
        let all = logits.log_softmax(-1)?;
        let values = all.reshape(&[-1])?.index_select(0, &chunk.flat)?.to_vec_f32()?;
        Ok((all, values))
    }

    /// The gradient of the summed loss with respect to the chunk's hidden states; uses up `log_probs`.
    fn chunk_gradient(&self, mut log_probs: Tensor, chunk: &Chunk) -> Result<Tensor> {
        log_probs.exp_()?;
        if let Some(counts) = &chunk.counts {
            log_probs.mul_(counts)?;
        }
        let minus_one = Tensor::full(&[chunk.flat.size(0)?], -1.0, Dtype::F32, self.device())?;
        log_probs.reshape(&[-1])?.index_add_(0, &chunk.flat, &minus_one)?;
        let weight = self.head_weight().detach()?.transpose(0, 1)?;
        Ok(log_probs.to_dtype(weight.dtype())?.linear(&weight, None)?)
    }
}

/// `value` as a scalar whose gradient with respect to `hidden` is `scale · gradients` (the chunks, in order; none: none).
pub(super) fn scalar_with_gradient(value: f64, hidden: &Tensor, gradients: &[Tensor], scale: f64) -> Result<Tensor> {
    let value = Tensor::full(&[], value, Dtype::F32, hidden.device())?;
    if gradients.is_empty() {
        return Ok(value);
    }
    // `t − detached t` is zero in value, and carries the gradient that we have computed.
    // In fp32, so that what is small is rounded once, after the scale of the way back.
    let gradient = Tensor::cat(gradients, 0)?.to_dtype(Dtype::F32)?.mul_scalar(scale)?;
    let carrier = hidden.to_dtype(Dtype::F32)?.mul(&gradient)?.sum_all()?;
    Ok(carrier.sub(&carrier.detach()?)?.add(&value)?)
}

fn place(rows: &[usize], row: usize) -> usize {
    rows.partition_point(|r| *r < row)
}

fn scatter(values: &[f32], order: &[usize], into: &mut [f32]) {
    for (value, &target) in values.iter().zip(order) {
        if let Some(slot) = into.get_mut(target) {
            *slot = *value;
        }
    }
}
