//! Libtorch tensors for a host that has none: what the `tch` tier asks of the fake host. Values are copied in and out; that memory
//! and graph are shared is a promise of the real host.

use crate::array::Array;
use scaleot_plugin_api::{Handle, PluginError};
use std::any::Any;
use std::collections::HashMap;

/// Makes and reads libtorch tensors.
pub trait Libtorch {
    /// A tensor of these values, and its address; it lives as long as what is returned with it.
    ///
    /// # Errors
    /// `Host` when libtorch refuses.
    fn make(&self, values: &[f32], shape: &[i64]) -> Result<(u64, Box<dyn Any>), PluginError>;

    /// Values and sizes of the tensor at an address that a plugin sent.
    ///
    /// # Errors
    /// `Host` for what is no tensor of numbers.
    fn read(&self, address: u64) -> Result<(Vec<f32>, Vec<i64>), PluginError>;
}

/// The libtorch tensors that a fake host lent, by handle.
#[derive(Default)]
pub(crate) struct Lent {
    pub(crate) libtorch: Option<&'static dyn Libtorch>,
    kept: HashMap<Handle, Box<dyn Any>>,
}

impl Lent {
    /// With this crate's own `tch`, where it has one.
    pub(crate) fn own() -> Self {
        #[cfg(feature = "tch")]
        let libtorch: Option<&'static dyn Libtorch> = Some(&own::Tch);
        #[cfg(not(feature = "tch"))]
        let libtorch = None;
        Self { libtorch, kept: HashMap::new() }
    }

    /// The address of a handle's tensor, until it is forgotten.
    pub(crate) fn lend(&mut self, handle: Handle, array: &Array) -> Result<u64, PluginError> {
        let libtorch = self.libtorch.ok_or_else(none)?;
        let (address, kept) = libtorch.make(&array.values(), array.shape())?;
        self.kept.insert(handle, kept);
        Ok(address)
    }

    /// The values of a plugin's tensor.
    pub(crate) fn read(&self, address: u64) -> Result<Array, PluginError> {
        let (values, shape) = self.libtorch.ok_or_else(none)?.read(address)?;
        Array::new(values, &shape)
    }

    pub(crate) fn forget(&mut self, handle: Handle) {
        self.kept.remove(&handle);
    }
}

fn none() -> PluginError {
    PluginError::unsupported("this host has no libtorch")
}

#[cfg(feature = "tch")]
mod own {
    use crate::libtorch::Libtorch;
    use scaleot_plugin_api::{PluginError, tch};
    use std::any::Any;

    /// The `tch` of this crate.
    pub(crate) struct Tch;

    impl Libtorch for Tch {
        fn make(&self, values: &[f32], shape: &[i64]) -> Result<(u64, Box<dyn Any>), PluginError> {
            let refused = |error: tch::TchError| PluginError::host(error.to_string());
            let tensor = tch::Tensor::f_from_slice(values).and_then(|flat| flat.f_reshape(shape)).map_err(refused)?;
            Ok((tensor.as_ptr().expose_provenance() as u64, Box::new(tensor)))
        }

        fn read(&self, address: u64) -> Result<(Vec<f32>, Vec<i64>), PluginError> {
            let refused = |error: tch::TchError| PluginError::host(error.to_string());
            let address = usize::try_from(address).unwrap_or(0);
            // SAFETY: `Host::from_tch` sends the address of a tensor that lives during the call.
            let tensor = unsafe { tch::Tensor::clone_from_ptr(std::ptr::with_exposed_provenance_mut(address)) };
            let flat = tensor.f_to_kind(tch::Kind::Float).and_then(|plain| plain.f_reshape([-1])).map_err(refused)?;
            Ok((Vec::try_from(flat).map_err(refused)?, tensor.size()))
        }
    }
}
