//! A tensor of a `peft` folder, written in fp32.

use super::error::Result;
use scaleot_store::TensorSource;
use scaleot_tensor::{Device, Dtype, Tensor};
use std::io;

/// The tensor under this name.
///
/// # Errors
/// An operation that libtorch refuses.
pub(super) fn source<'a>(name: String, tensor: &Tensor) -> Result<TensorSource<'a>> {
    let tensor = tensor.detach()?.to_device(Device::Cpu)?.to_dtype(Dtype::F32)?.contiguous()?;
    let shape = tensor.shape().iter().map(|&size| size as u64).collect();
    let write = move |out: &mut dyn io::Write| out.write_all(tensor.as_bytes().map_err(io::Error::other)?);
    Ok(TensorSource { name, dtype: Dtype::F32, shape, write: Box::new(write) })
}
