//! Elementwise arithmetic and matrix products. Shapes broadcast as in libtorch.

use super::{Result, Tensor, TensorError};

type TorchResult = std::result::Result<tch::Tensor, tch::TchError>;

impl Tensor {
    pub(crate) fn unary(&self, op: &'static str, f: impl FnOnce(&tch::Tensor) -> TorchResult) -> Result<Tensor> {
        f(&self.0).map(Tensor).map_err(|e| TensorError::torch(op, &[&self.0], &e))
    }

    pub(crate) fn binary(
        &self,
        op: &'static str,
        other: &Tensor,
        f: impl FnOnce(&tch::Tensor, &tch::Tensor) -> TorchResult,
    ) -> Result<Tensor> {
        f(&self.0, &other.0).map(Tensor).map_err(|e| TensorError::torch(op, &[&self.0, &other.0], &e))
    }

    /// `self + other`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn add(&self, other: &Tensor) -> Result<Tensor> {
        self.binary("add", other, tch::Tensor::f_add)
    }

    /// `self − other`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn sub(&self, other: &Tensor) -> Result<Tensor> {
        self.binary("sub", other, tch::Tensor::f_sub)
    }

    /// `self · other`, elementwise.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn mul(&self, other: &Tensor) -> Result<Tensor> {
        self.binary("mul", other, tch::Tensor::f_mul)
    }

    /// `self / other`, elementwise.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn div(&self, other: &Tensor) -> Result<Tensor> {
        self.binary("div", other, tch::Tensor::f_div)
    }

    /// `self + a · b`, elementwise, in one pass.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn add_product(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        self.0
            .f_addcmul(&a.0, &b.0)
            .map(Tensor)
            .map_err(|e| TensorError::torch("add_product", &[&self.0, &a.0, &b.0], &e))
    }

    /// `self + scalar`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn add_scalar(&self, scalar: f64) -> Result<Tensor> {
        self.unary("add_scalar", |t| t.f_add_scalar(scalar))
    }

    /// `self · scalar`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn mul_scalar(&self, scalar: f64) -> Result<Tensor> {
        self.unary("mul_scalar", |t| t.f_mul_scalar(scalar))
    }

    /// `|self|`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn abs(&self) -> Result<Tensor> {
        self.unary("abs", tch::Tensor::f_abs)
    }

    /// `√self`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn sqrt(&self) -> Result<Tensor> {
        self.unary("sqrt", tch::Tensor::f_sqrt)
    }

    /// `eˣ`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn exp(&self) -> Result<Tensor> {
        self.unary("exp", tch::Tensor::f_exp)
    }

    /// `ln x`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn log(&self) -> Result<Tensor> {
        self.unary("log", tch::Tensor::f_log)
    }

    /// `cos x`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn cos(&self) -> Result<Tensor> {
        self.unary("cos", tch::Tensor::f_cos)
    }

    /// `sin x`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn sin(&self) -> Result<Tensor> {
        self.unary("sin", tch::Tensor::f_sin)
    }

    /// Every element held within `low..=high`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn clamp(&self, low: f64, high: f64) -> Result<Tensor> {
        self.unary("clamp", |t| t.f_clamp(low, high))
    }

    /// `self · other` as matrices: `[…, m, k] × […, k, n] → […, m, n]`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn matmul(&self, other: &Tensor) -> Result<Tensor> {
        self.binary("matmul", other, tch::Tensor::f_matmul)
    }

    /// `self += other`, in place; shallow clones see the change.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn add_(&mut self, other: &Tensor) -> Result<()> {
        self.0.f_add_(&other.0).map(drop).map_err(|e| TensorError::torch("add_", &[&self.0, &other.0], &e))
    }

    /// `self *= scalar`, in place.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn mul_scalar_(&mut self, scalar: f64) -> Result<()> {
        self.0.f_mul_scalar_(scalar).map(drop).map_err(|e| TensorError::torch("mul_scalar_", &[&self.0], &e))
    }

    /// `self *= other`, elementwise, in place.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn mul_(&mut self, other: &Tensor) -> Result<()> {
        self.0.f_mul_(&other.0).map(drop).map_err(|e| TensorError::torch("mul_", &[&self.0, &other.0], &e))
    }

    /// `self = eˢᵉˡᶠ`, in place.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn exp_(&mut self) -> Result<()> {
        self.0.f_exp_().map(drop).map_err(|e| TensorError::torch("exp_", &[&self.0], &e))
    }

    /// `self[index[i]] += values[i]` along `dim`, in place; an index may come more than once.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn index_add_(&mut self, dim: i64, index: &Tensor, values: &Tensor) -> Result<()> {
        self.0
            .f_index_add_(dim, &index.0, &values.0)
            .map(drop)
            .map_err(|e| TensorError::torch("index_add_", &[&self.0, &index.0, &values.0], &e))
    }

    /// Overwrites the elements with those of `source`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn copy_(&mut self, source: &Tensor) -> Result<()> {
        self.0.f_copy_(&source.0).map_err(|e| TensorError::torch("copy_", &[&self.0, &source.0], &e))
    }
}
