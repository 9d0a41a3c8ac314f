//! The tensors that a strategy holds handles to. Handles are counted up and never reused, so a stale one is refused.

use scaleot_plugin_api::{DlTensor, Handle, PluginError, ReleaseTensor};
use scaleot_tensor::Tensor;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::c_void;

struct Entry {
    tensor: Tensor,
    // Boxed, so that a view's pointers survive the map's growth.
    layout: Box<(Vec<i64>, Vec<i64>)>,
}

/// One strategy's tensors; lives as long as the strategy does.
#[derive(Default)]
pub struct Arena {
    entries: RefCell<HashMap<Handle, Entry>>,
    last: Cell<Handle>,
    shares_libtorch: bool,
}

impl Arena {
    /// For a strategy whose plugin has, or has not, the libtorch of this process.
    pub fn new(shares_libtorch: bool) -> Self {
        Self { shares_libtorch, ..Self::default() }
    }

    /// True where the plugin may have tensors by address.
    pub fn shares_libtorch(&self) -> bool {
        self.shares_libtorch
    }

    /// The address of the `at::Tensor` of a handle, valid until the handle is released.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn address(&self, handle: Handle) -> Result<usize, PluginError> {
        let entries = self.entries.borrow();
        let entry = entries.get(&handle).ok_or_else(|| unknown(handle))?;
        Ok(entry.tensor.as_raw().expose_provenance())
    }

    /// Keeps a tensor under a new handle.
    pub fn put(&self, tensor: Tensor) -> Handle {
        let handle = self.last.get() + 1;
        self.last.set(handle);
        let layout = Box::new((tensor.shape(), tensor.strides()));
        self.entries.borrow_mut().insert(handle, Entry { tensor, layout });
        handle
    }

    /// The tensor of a handle (shared, not copied).
    ///
    /// # Errors
    /// `Host` for a handle that was never given out or is released.
    pub fn get(&self, handle: Handle) -> Result<Tensor, PluginError> {
        self.entries.borrow().get(&handle).map(|entry| entry.tensor.clone()).ok_or_else(|| unknown(handle))
    }

    /// Takes a tensor back from the plugin.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn take(&self, handle: Handle) -> Result<Tensor, PluginError> {
        self.entries.borrow_mut().remove(&handle).map(|entry| entry.tensor).ok_or_else(|| unknown(handle))
    }

    /// A DLPack view; its pointers hold until the handle is released.
    ///
    /// # Errors
    /// As [`get`](Self::get), or when the tensor's type has no DLPack code.
    pub fn view(&self, handle: Handle) -> Result<DlTensor, PluginError> {
        let entries = self.entries.borrow();
        let entry = entries.get(&handle).ok_or_else(|| unknown(handle))?;
        let dtype = entry.tensor.dtype();
        let codes = entry.tensor.dlpack_dtype();
        let (dtype_code, dtype_bits) =
            codes.ok_or_else(|| PluginError::host(format!("a tensor of type {dtype:?} cannot be viewed")))?;
        let (device_type, device_id) = entry.tensor.device().dlpack();
        Ok(DlTensor {
            data: entry.tensor.data_ptr().cast_mut().cast::<c_void>(),
            device_type,
            device_id,
            ndim: i32::try_from(entry.layout.0.len()).unwrap_or(0),
            dtype_code,
            dtype_bits,
            dtype_lanes: 1,
            shape: entry.layout.0.as_ptr().cast_mut(),
            strides: entry.layout.1.as_ptr().cast_mut(),
            byte_offset: 0,
        })
    }

    /// The number of tensors that the plugin holds.
    pub fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    /// True where the plugin holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ReleaseTensor for Arena {
    fn release(&self, handle: Handle) {
        // An unknown handle here is a tensor that was given back in an answer.
        drop(self.entries.borrow_mut().remove(&handle));
    }
}

fn unknown(handle: Handle) -> PluginError {
    PluginError::host(format!("no tensor has the handle {handle}: it was released, or never given out"))
}
