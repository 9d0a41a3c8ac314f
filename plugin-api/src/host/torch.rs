//! The `tch` tier: handles as libtorch tensors that share memory and autograd with the host.
//!
//! Host and plugin each link a copy of `tch`, and both of them the one libtorch of the process. So the address of an `at::Tensor`
//! means the same on either side, its reference count is libtorch's own, and it is freed by whoever lets go last. The recording
//! of gradients is a flag of the thread: under the host's no-grad a plugin's operations are not recorded either.
//!
//! A `tch` release fits one minor version of libtorch, and so does such a plugin. It carries
//! [`LIBTORCH_MARK`](crate::LIBTORCH_MARK) and that version as plain bytes, which the host compares with its own before it loads
//! anything.

use super::Host;
use crate::error::PluginError;
use crate::services::{LendTensor, TakeTensor};
use crate::tensor::Tensor;

impl Host<'_> {
    /// The libtorch tensor behind a handle: the same memory and the same place in the autograd graph. It may outlive the handle
    /// and the call.
    ///
    /// Weights belong to the host: write into a copy, not into what was lent. `tch` panics where libtorch refuses; its `f_`
    /// methods return the error instead.
    ///
    /// # Errors
    /// `Host` for a released handle.
    pub fn to_tch(&mut self, a: &Tensor) -> Result<tch::Tensor, PluginError> {
        let address = self.ask::<LendTensor>(&a.handle())?;
        if address == 0 {
            return Err(PluginError::host("the host lent no tensor"));
        }
        // SAFETY: the host vouches for a live `at::Tensor` while `a` is; the libtorch that owns it is this library's own.
        Ok(unsafe { tch::Tensor::clone_from_ptr(std::ptr::with_exposed_provenance_mut(address as usize)) })
    }

    /// A handle on a libtorch tensor: the same memory and the same place in the autograd graph.
    ///
    /// # Errors
    /// `Host` for a tensor that the host cannot hold (undefined, sparse).
    pub fn from_tch(&mut self, a: &tch::Tensor) -> Result<Tensor, PluginError> {
        let handle = self.ask::<TakeTensor>(&(a.as_ptr().expose_provenance() as u64))?;
        Ok(Tensor::adopt(handle, self.services.releaser()))
    }
}

#[cfg(test)]
#[path = "torch_tests.rs"]
mod tests;
