//! The same elements seen otherwise: views, slices, joins, gathers, conversions.

use super::{Device, Dtype, Result, Tensor, TensorError};

fn raw(tensors: &[Tensor]) -> Vec<&tch::Tensor> {
    tensors.iter().map(|t| &t.0).collect()
}

impl Tensor {
    /// Another shape of the same elements; copies only when the strides demand it.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn reshape(&self, shape: &[i64]) -> Result<Tensor> {
        self.unary("reshape", |t| t.f_reshape(shape))
    }

    /// Another shape of the same memory; an error where that would need a copy.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn view(&self, shape: &[i64]) -> Result<Tensor> {
        self.unary("view", |t| t.f_view(shape))
    }

    /// Two dimensions exchanged, as a view.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn transpose(&self, dim0: i64, dim1: i64) -> Result<Tensor> {
        self.unary("transpose", |t| t.f_transpose(dim0, dim1))
    }

    /// `length` entries of `dim` from `start`, as a view.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn narrow(&self, dim: i64, start: i64, length: i64) -> Result<Tensor> {
        self.unary("narrow", |t| t.f_narrow(dim, start, length))
    }

    /// One entry of `dim`, which disappears; a view.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn select(&self, dim: i64, index: i64) -> Result<Tensor> {
        self.unary("select", |t| t.f_select(dim, index))
    }

    /// A new dimension of size 1; a view.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn unsqueeze(&self, dim: i64) -> Result<Tensor> {
        self.unary("unsqueeze", |t| t.f_unsqueeze(dim))
    }

    /// Views of consecutive parts of `dim`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn split(&self, sizes: &[i64], dim: i64) -> Result<Vec<Tensor>> {
        self.0
            .f_split_with_sizes(sizes, dim)
            .map(|parts| parts.into_iter().map(Tensor).collect())
            .map_err(|e| TensorError::torch("split", &[&self.0], &e))
    }

    /// Elements moved along `dim` by `shift`, the last ones coming first.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn roll(&self, shift: i64, dim: i64) -> Result<Tensor> {
        self.unary("roll", |t| t.f_roll([shift], [dim]))
    }

    /// Joined along an existing dimension.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn cat(tensors: &[Tensor], dim: i64) -> Result<Tensor> {
        let parts = raw(tensors);
        tch::Tensor::f_cat(&parts, dim).map(Tensor).map_err(|e| TensorError::torch("cat", &parts, &e))
    }

    /// Joined along a new dimension.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn stack(tensors: &[Tensor], dim: i64) -> Result<Tensor> {
        let parts = raw(tensors);
        tch::Tensor::f_stack(&parts, dim).map(Tensor).map_err(|e| TensorError::torch("stack", &parts, &e))
    }

    /// The entries of `dim` that `index` (1-D, i64) names, in that order.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn index_select(&self, dim: i64, index: &Tensor) -> Result<Tensor> {
        self.binary("index_select", index, |t, i| t.f_index_select(dim, i))
    }

    /// `out[i][j] = self[i][index[i][j]]` for `dim = 1`, and so on.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn gather(&self, dim: i64, index: &Tensor) -> Result<Tensor> {
        self.binary("gather", index, |t, i| t.f_gather(dim, i, false))
    }

    /// Row-major memory; the same tensor if it is so already.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn contiguous(&self) -> Result<Tensor> {
        self.unary("contiguous", tch::Tensor::f_contiguous)
    }

    /// A copy with memory of its own, row-major, off the graph.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn deep_copy(&self) -> Result<Tensor> {
        let mut copy = Tensor(
            tch::Tensor::f_empty(self.shape().as_slice(), (self.0.kind(), self.0.device()))
                .map_err(|e| TensorError::torch("deep_copy", &[&self.0], &e))?,
        );
        copy.copy_(&self.detach()?)?;
        Ok(copy)
    }

    /// Another element type; the same tensor if it has it already.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn to_dtype(&self, dtype: Dtype) -> Result<Tensor> {
        if self.dtype() == dtype {
            return Ok(self.clone());
        }
        self.unary("to_dtype", |t| t.f_to_dtype(super::dtype::to_kind(dtype), false, false))
    }

    /// Another place; the same tensor if it is there already.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn to_device(&self, device: Device) -> Result<Tensor> {
        if self.device() == device {
            return Ok(self.clone());
        }
        self.unary("to_device", |t| t.f_to(device.to_tch()))
    }
}
