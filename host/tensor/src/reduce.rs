//! Sums, means, norms, extremes, and a test that all is finite.

use super::{Dtype, Result, Tensor, TensorError};

impl Tensor {
    /// The sum of all elements: a scalar tensor.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn sum_all(&self) -> Result<Tensor> {
        self.unary("sum_all", |t| t.f_sum(None))
    }

    /// The mean of all elements: a scalar tensor.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn mean_all(&self) -> Result<Tensor> {
        self.unary("mean_all", |t| t.f_mean(None))
    }

    /// The sum over one dimension.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn sum(&self, dim: i64, keep: bool) -> Result<Tensor> {
        self.unary("sum", |t| t.f_sum_dim_intlist([dim].as_slice(), keep, None))
    }

    /// The mean over one dimension.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn mean(&self, dim: i64, keep: bool) -> Result<Tensor> {
        self.unary("mean", |t| t.f_mean_dim([dim].as_slice(), keep, None))
    }

    /// The largest element along one dimension.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn amax(&self, dim: i64, keep: bool) -> Result<Tensor> {
        self.unary("amax", |t| t.f_amax([dim].as_slice(), keep))
    }

    /// The largest element: a scalar tensor.
    #[cfg(test)]
    pub(crate) fn max_all(&self) -> Result<Tensor> {
        self.unary("max_all", tch::Tensor::f_max)
    }

    /// The Euclidean (Frobenius) norm of all elements: a scalar tensor.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn norm(&self) -> Result<Tensor> {
        self.unary("norm", tch::Tensor::f_norm)
    }

    /// True if no element is NaN or infinite.
    ///
    /// `x · 0` is 0 for finite `x` and NaN otherwise, so one sum answers for all dtypes and devices.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn is_finite_all(&self) -> Result<bool> {
        if self.numel() == 0 || !self.dtype().is_float() {
            return Ok(true);
        }
        let probe = self.detach()?.mul_scalar(0.0)?.to_dtype(Dtype::F32)?.sum_all()?;
        Ok(probe.to_f64()? == 0.0)
    }

    /// True if shape and all elements are equal.
    #[cfg(test)]
    pub(crate) fn equal(&self, other: &Tensor) -> Result<bool> {
        self.0.f_equal(&other.0).map_err(|e| TensorError::torch("equal", &[&self.0, &other.0], &e))
    }

    /// The `k` largest elements of the last dimension, largest first: values and indices.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub(crate) fn topk(&self, k: i64) -> Result<(Tensor, Tensor)> {
        self.0
            .f_topk(k, -1, true, true)
            .map(|(values, indices)| (Tensor(values), Tensor(indices)))
            .map_err(|e| TensorError::torch("topk", &[&self.0], &e))
    }
}
