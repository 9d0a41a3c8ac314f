//! The only door to libtorch: a tensor whose every operation can fail, and nothing else of `tch`.
//!
//! Shapes are written outermost first; a linear weight is `[out, in]` and acts as `y = x Wᵀ + b`.
//! Clones are shallow: two `Tensor`s may share memory, as in libtorch itself.
//! Files by idea: `create` (in and out of Rust slices), `algebra`, `shape`, `reduce`, `nn`, `linalg`, `truncated` (low rank),
//! `autograd`, `onednn` and `blocked` (the fast ways on the CPU), `map` (memory-mapped weights), `random` (our own generator), `workers` (one matrix per core), `device`, `dtype`, `error`.

#![warn(unreachable_pub)]

mod activation;
mod algebra;
mod autograd;
mod blocked;
mod create;
mod device;
mod dlpack;
mod dtype;
mod error;
mod linalg;
mod map;
mod memory;
mod nn;
mod onednn;
mod random;
mod reduce;
mod shape;
mod truncated;
mod weight_form;
mod workers;

pub use activation::Activation;
pub use autograd::{GradMode, NoGrad, grad_enabled, no_grad};
pub use device::{
    Device, check_libtorch_version, libtorch_version, load_cuda_backend, processors, set_threads, threads,
};
pub use error::{Result, TensorError};
pub use linalg::Svd;
pub use map::MappedBytes;
pub use memory::limit_memory;
pub use nn::Attention;
pub use onednn::Epilogue;
pub use random::NormalStream;
pub use scaleot_store::Dtype;
pub use truncated::{Cut, TruncatedSvd, truncated_svds};
pub use weight_form::WeightForm;

/// A libtorch tensor. `clone` shares the memory.
pub struct Tensor(pub(crate) tch::Tensor);

impl Clone for Tensor {
    fn clone(&self) -> Self {
        Tensor(self.0.shallow_clone())
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.0.defined() {
            return f.write_str("Tensor(undefined)");
        }
        write!(f, "Tensor({:?}, {:?}, {:?})", self.shape(), self.dtype(), self.device())
    }
}

impl Tensor {
    /// The sizes, outermost first.
    pub fn shape(&self) -> Vec<i64> {
        self.0.size()
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.0.dim()
    }

    /// The size of one dimension; negative counts from the end, as in libtorch.
    ///
    /// # Errors
    /// A dimension that the tensor does not have.
    pub fn size(&self, dim: i64) -> Result<i64> {
        let shape = self.shape();
        let index = if dim < 0 { dim + shape.len() as i64 } else { dim };
        usize::try_from(index).ok().and_then(|i| shape.get(i).copied()).ok_or(TensorError::Dimension { dim, shape })
    }

    /// The number of elements.
    pub fn numel(&self) -> usize {
        self.0.numel()
    }

    /// The element type.
    pub fn dtype(&self) -> Dtype {
        dtype::from_kind(self.0.kind())
    }

    /// The device that holds the memory.
    pub fn device(&self) -> Device {
        Device::from_tch(self.0.device())
    }

    /// True if the elements lie one after another in row-major order.
    pub fn is_contiguous(&self) -> bool {
        self.0.is_contiguous()
    }

    /// True if there is a tensor at all, and its elements lie in memory by strides: not sparse, not in oneDNN's order.
    pub fn is_strided(&self) -> bool {
        self.0.defined() && !self.0.is_sparse() && !self.0.is_mkldnn()
    }

    /// The `at::Tensor*` behind this tensor, borrowed.
    pub fn as_raw(&self) -> *const std::ffi::c_void {
        self.0.as_ptr().cast()
    }

    /// Another owner of the tensor behind an `at::Tensor*`.
    ///
    /// # Safety
    /// `raw` must point to a live `at::Tensor` of the libtorch in this process.
    pub unsafe fn clone_from_raw(raw: *const std::ffi::c_void) -> Self {
        // SAFETY: the caller vouches for the pointer; the call adds a reference and frees nothing.
        Tensor(unsafe { tch::Tensor::clone_from_ptr(raw.cast_mut().cast()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_by_strides_is_strided() {
        let matrix = Tensor::from_f32(&[1.0, 0.0, 0.0, 2.0], &[2, 2]).unwrap();
        assert!(matrix.is_strided());
        assert!(matrix.transpose(0, 1).unwrap().is_strided());
        assert!(!Tensor(tch::Tensor::new()).is_strided());
        assert!(!Tensor(matrix.0.f_to_sparse_sparse_dim(2).unwrap()).is_strided());
    }
}
