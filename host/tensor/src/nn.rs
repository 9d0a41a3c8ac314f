//! The pieces of a decoder: linear maps, norms, activations, attention, embedding, loss.
//!
//! `rms_norm(x) = x / √(mean(x²) + ε) · w`; `layer_norm(x) = (x − mean) / √(var + ε) · w + b`;
//! `attention(q, k, v) = softmax(q kᵀ / √d + mask) v`.

use super::blocked;
use super::onednn::{self, Epilogue};
use super::{Result, Tensor, TensorError};

/// The keys that a query may see.
#[derive(Clone, Copy)]
pub enum Attention<'a> {
    /// Key `j` for query `i` if `j ≤ i`; queries and keys are equally many.
    Causal,
    /// A term added to the scores, `[batch or 1, 1, queries, keys]`: 0 where allowed, −∞ elsewhere.
    Masked(&'a Tensor),
}

impl Tensor {
    /// `x Wᵀ + b`: `[…, in] → […, out]` with `weight` `[out, in]`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn linear(&self, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        self.linear_then(weight, bias, Epilogue::None)
    }

    /// `x Wᵀ + b` and a last step on the result, in one pass over memory where oneDNN can.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn linear_then(&self, weight: &Tensor, bias: Option<&Tensor>, epilogue: Epilogue<'_>) -> Result<Tensor> {
        let recorded = onednn::is_recorded(self, weight, bias);
        if onednn::applies(self, weight, bias, epilogue) && !(recorded || epilogue.is_recorded()) {
            return onednn::linear(self, weight, bias, epilogue);
        }
        let y = if recorded && onednn::applies(self, weight, bias, Epilogue::None) {
            onednn::linear_with_gradients(self, weight, bias)?
        } else {
            self.0
                .f_linear(&weight.0, bias.map(|b| &b.0))
                .map(Tensor)
                .map_err(|e| TensorError::torch("linear", &[&self.0, &weight.0], &e))?
        };
        epilogue.apply(y)
    }

    /// Root-mean-square norm over the last dimension.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn rms_norm(&self, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
        let width = weight.shape();
        self.binary("rms_norm", weight, |x, w| x.f_rms_norm(width.as_slice(), Some(w), epsilon))
    }

    /// Layer norm over the last dimension.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn layer_norm(&self, weight: &Tensor, bias: Option<&Tensor>, epsilon: f64) -> Result<Tensor> {
        let width = weight.shape();
        self.binary("layer_norm", weight, |x, w| {
            x.f_layer_norm(width.as_slice(), Some(w), bias.map(|b| &b.0), epsilon, false)
        })
    }

    /// `x · σ(x)`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub(crate) fn silu(&self) -> Result<Tensor> {
        self.unary("silu", tch::Tensor::f_silu)
    }

    /// `max(x, 0)`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub(crate) fn relu(&self) -> Result<Tensor> {
        self.unary("relu", tch::Tensor::f_relu)
    }

    /// `tanh x`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub(crate) fn tanh(&self) -> Result<Tensor> {
        self.unary("tanh", tch::Tensor::f_tanh)
    }

    /// `x Φ(x)` with the exact error function.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub(crate) fn gelu_erf(&self) -> Result<Tensor> {
        self.unary("gelu_erf", |t| t.f_gelu("none"))
    }

    /// `x Φ(x)` with the tanh approximation ("gelu_new", "gelu_pytorch_tanh").
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub(crate) fn gelu_tanh(&self) -> Result<Tensor> {
        self.unary("gelu_tanh", |t| t.f_gelu("tanh"))
    }

    /// `eˣ / Σ eˣ` along `dim`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn softmax(&self, dim: i64) -> Result<Tensor> {
        self.unary("softmax", |t| t.f_softmax(dim, None))
    }

    /// `ln softmax(x)` along `dim`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn log_softmax(&self, dim: i64) -> Result<Tensor> {
        self.unary("log_softmax", |t| t.f_log_softmax(dim, None))
    }

    /// The rows of a table `[n, width]` that `ids` (i64) name.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn embedding(&self, ids: &Tensor) -> Result<Tensor> {
        self.binary("embedding", ids, |table, ids| tch::Tensor::f_embedding(table, ids, -1, false, false))
    }

    /// Fused attention; `self` is the query: `[batch, heads, queries, head_dim]`,
    /// keys and values `[batch, key_value_heads, keys, head_dim]`, the head counts dividing.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn attention(&self, key: &Tensor, value: &Tensor, kind: Attention<'_>) -> Result<Tensor> {
        if matches!(kind, Attention::Causal) && blocked::applies(self, key, value) {
            return blocked::causal(self, key, value);
        }
        let grouped = self.size(1)? != key.size(1)?;
        let (mask, causal) = match kind {
            Attention::Causal => (None, true),
            Attention::Masked(mask) => (Some(&mask.0), false),
        };
        tch::Tensor::f_scaled_dot_product_attention(&self.0, &key.0, &value.0, mask, 0.0, causal, None, grouped)
            .map(Tensor)
            .map_err(|e| TensorError::torch("attention", &[&self.0, &key.0, &value.0], &e))
    }

    /// Mean negative log-likelihood of `targets` `[n]` under `self` = logits `[n, vocabulary]`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn cross_entropy(&self, targets: &Tensor) -> Result<Tensor> {
        self.binary("cross_entropy", targets, |logits, targets| {
            let no_weight = None::<&tch::Tensor>;
            logits.f_cross_entropy_loss(targets, no_weight, tch::Reduction::Mean, -100, 0.0)
        })
    }
}
