//! Tensors as a plugin holds them: opaque, owned handles. The memory stays with the host.
//!
//! A handle is released when it is dropped; the algebra on it is in [`crate::Host`].
//! `T` in [`crate::Module`], [`crate::WeightForm`] and others is [`Tensor`] for an author and a bare handle on the wire.

use std::ffi::c_void;
use std::fmt;
use std::rc::Rc;

/// The number by which the host knows a tensor. Numbers are never reused, so a stale one is refused, not misread.
pub type Handle = u64;

/// The receiver of handles that are no longer needed. Implemented by the boundary and by the fake host.
pub trait ReleaseTensor {
    /// The handle may be forgotten.
    fn release(&self, handle: Handle);
}

/// An owned reference to a tensor of the host. Shape and values are asked of the [`crate::Host`].
pub struct Tensor {
    handle: Handle,
    owner: Rc<dyn ReleaseTensor>,
}

impl Tensor {
    /// Wraps a handle that this side now owns.
    #[must_use]
    pub fn adopt(handle: Handle, owner: Rc<dyn ReleaseTensor>) -> Self {
        Self { handle, owner }
    }

    /// The host's number for it.
    #[must_use]
    pub const fn handle(&self) -> Handle {
        self.handle
    }

    /// Gives the handle away without releasing it: the other side owns it from here.
    #[must_use]
    pub fn into_handle(self) -> Handle {
        let handle = self.handle;
        // The owner's count must still go down; only the release is left out.
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped, and `owner` is read out of it exactly once.
        drop(unsafe { std::ptr::read(&raw const this.owner) });
        handle
    }
}

impl Drop for Tensor {
    fn drop(&mut self) {
        self.owner.release(self.handle);
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor(#{})", self.handle)
    }
}

/// A look into the memory of a host tensor, laid out as DLPack's `DLTensor` (version 0.8).
///
/// The fields mean what they mean there: `data + byte_offset` is the first value, `strides` are in elements.
/// The memory belongs to the host: it may be read until the call into the plugin returns, and never written.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct DlTensor {
    /// First byte of the storage.
    pub data: *mut c_void,
    /// 1 = CPU, 2 = CUDA.
    pub device_type: i32,
    /// Number of the device of that kind.
    pub device_id: i32,
    /// Number of dimensions.
    pub ndim: i32,
    /// 0 = signed integer, 2 = float, 4 = bfloat.
    pub dtype_code: u8,
    /// Bits of one value.
    pub dtype_bits: u8,
    /// Always 1 here.
    pub dtype_lanes: u16,
    /// `ndim` sizes.
    pub shape: *mut i64,
    /// `ndim` strides in elements.
    pub strides: *mut i64,
    /// Offset of the first value in bytes.
    pub byte_offset: u64,
}
