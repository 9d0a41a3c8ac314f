//! Kullback-Leibler divergence of two next-token distributions, a chunk of rows at a time.
//!
//! `p = softmax(h Wᵀ / T)` of the full model, `q` of the mixture, both under one head `W`:
//! `KL(p || q) = mean over rows of Σ p (ln p − ln q)`, in nats. The full model is a constant; for the mixture
//! `∂KL/∂h = (q − p) W / (T n)` is known as soon as the logits are, so no logits are kept (as in `head`).

use super::decoder::Decoder;
use super::error::Result;
use super::head::{CHUNK, scalar_with_gradient};
use scaleot_tensor::{Dtype, Tensor, grad_enabled, no_grad};

impl Decoder {
    /// `KL(full || mixture)` of the rows of two `[rows, hidden]` after the final norm: a scalar, differentiable with
    /// respect to `mixture`. The head is taken as frozen.
    ///
    /// # Errors
    /// An operation that libtorch refuses, such as for want of memory.
    pub fn divergence_of_hidden(&self, full: &Tensor, mixture: &Tensor, temperature: f64) -> Result<Tensor> {
        divergence(self.head_weight(), full, mixture, temperature)
    }
}

fn divergence(head: &Tensor, full: &Tensor, mixture: &Tensor, temperature: f64) -> Result<Tensor> {
    let recorded = grad_enabled() && mixture.requires_grad();
    let rows = mixture.size(0)?;
    let (mut sum, mut gradients) = (0.0, Vec::new());
    {
        let _guard = no_grad();
        let (weight, mixture) = (head.detach()?, mixture.detach()?);
        for start in (0..rows).step_by(CHUNK) {
            let here = |hidden: &Tensor| hidden.narrow(0, start, (CHUNK as i64).min(rows - start));
            let log_probs = |hidden: Tensor| {
                let logits = hidden.linear(&weight, None)?.to_dtype(Dtype::F32)?;
                logits.mul_scalar(1.0 / temperature)?.log_softmax(-1)
            };
            let (full, mut mixture) = (log_probs(here(full)?)?, log_probs(here(&mixture)?)?);
            let p = full.exp()?;
            sum += full.sub(&mixture)?.mul(&p)?.sum_all()?.to_f64()?;
            if recorded {
                mixture.exp_()?;
                let difference = mixture.sub(&p)?.to_dtype(weight.dtype())?;
                gradients.push(difference.linear(&weight.transpose(0, 1)?, None)?);
            }
        }
    }
    let n = rows as f64;
    scalar_with_gradient(sum / n, mixture, &gradients, 1.0 / (temperature * n))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three tokens, a hidden width of two.
    const HEAD: [f32; 6] = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
    /// From the formula above in double precision, in Python's `math`.
    const VALUE: f64 = 0.156_355_410_1;
    const GRADIENT: [f32; 4] = [0.037_958_37, -0.058_998_77, -0.018_540_217, 0.067_334_25];

    #[test]
    fn a_value_and_its_gradient() {
        let tensor = |values: &[f32], shape: &[i64]| Tensor::from_f32(values, shape).unwrap();
        let head = tensor(&HEAD, &[3, 2]);
        let full = tensor(&[1.0, 2.0, 0.5, -1.5], &[2, 2]);
        let mixture = tensor(&[2.0, 0.0, 1.0, 1.0], &[2, 2]).set_requires_grad(true).unwrap();
        let found = divergence(&head, &full, &mixture, 2.0).unwrap();
        assert!((found.to_f64().unwrap() - VALUE).abs() < 1e-6, "{found:?} {}", found.to_f64().unwrap());
        found.mul_scalar(3.0).unwrap().backward().unwrap();
        let gradient = mixture.grad().unwrap().unwrap().to_vec_f32().unwrap();
        for (found, expected) in gradient.iter().zip(GRADIENT) {
            assert!((found / 3.0 - expected).abs() < 1e-6, "{gradient:?}");
        }
        let nothing = divergence(&head, &full, &full, 2.0).unwrap();
        assert_eq!(nothing.to_f64().unwrap(), 0.0);
    }
}
