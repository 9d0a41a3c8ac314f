//! The host's half of the `tch` tier: the same libtorch on both sides, checked before a plugin is loaded, and tensors by address.

use super::arena::Arena;
use memchr::memmem;
use scaleot_plugin_api::conformance::Libtorch;
use scaleot_plugin_api::{Handle, LEND_TENSOR, LIBTORCH_MARK, PluginError, unknown_service};
use scaleot_tensor::{Dtype, Tensor, TensorError, libtorch_version};
use std::any::Any;

/// What the name of libtorch looks like among the needs of a library.
const NEEDED: [&[u8]; 2] = [b"\0libtorch_cpu.so\0", b"\0libtorch.so\0"];

/// Whether a library may share the libtorch of this process, by its bytes alone.
///
/// # Errors
/// One sentence that names both versions, or says that the library does not tell its own.
pub fn check_libtorch(bytes: &[u8]) -> Result<(), String> {
    let ours = libtorch_version();
    let ours = ours.rsplit_once('.').map_or(ours.as_str(), |(minor, _)| minor);
    match built_for(bytes) {
        Some(found) if found == ours => Ok(()),
        Some(found) => Err(format!(
            "it was built for libtorch {found}, this host runs libtorch {ours}; rebuild it with this host's scaleot-plugin-api"
        )),
        None if NEEDED.iter().any(|name| memmem::find(bytes, name).is_some()) => Err(format!(
            "it links libtorch, but does not say which; build it with the feature `tch` of this host's scaleot-plugin-api \
             (libtorch {ours})"
        )),
        None => Ok(()),
    }
}

/// The libtorch that a library of the `tch` tier was built for, in its own words.
pub fn built_for(bytes: &[u8]) -> Option<String> {
    let mark = LIBTORCH_MARK.as_bytes();
    // The mark may stand there alone too, as a constant.
    let mut versions = memmem::find_iter(bytes, mark).filter_map(|at| {
        let rest = bytes.get(at + mark.len()..)?;
        let end = rest.iter().take(16).position(|byte| *byte == 0)?;
        let version = std::str::from_utf8(rest.get(..end)?).ok()?;
        version.starts_with(|first: char| first.is_ascii_digit()).then(|| version.to_owned())
    });
    versions.next()
}

/// Answers `LEND_TENSOR` and `TAKE_TENSOR`. Only a plugin whose libtorch was compared may ask.
///
/// # Errors
/// `Unsupported` for a plugin of the other tier, `Host` for a handle that was never given out, or a tensor that cannot be held.
pub fn answer(arena: &Arena, name: &str, question: &[u8]) -> Result<Vec<u8>, PluginError> {
    if !arena.shares_libtorch() {
        return Err(unknown_service(name).with_help("build the plugin with the feature `tch` of scaleot-plugin-api"));
    }
    let number: u64 = serde_json::from_slice(question)?;
    let answered = if name == LEND_TENSOR { lend(arena, number)? } else { take(arena, number)? };
    Ok(serde_json::to_vec(&answered)?)
}

fn lend(arena: &Arena, handle: Handle) -> Result<u64, PluginError> {
    Ok(arena.address(handle)? as u64)
}

fn take(arena: &Arena, address: u64) -> Result<Handle, PluginError> {
    Ok(arena.put(at(address)?))
}

/// The tensor at an address that a plugin sent.
fn at(address: u64) -> Result<Tensor, PluginError> {
    let address = usize::try_from(address).unwrap_or(0);
    if address == 0 || !address.is_multiple_of(align_of::<usize>()) {
        return Err(PluginError::host(format!("{address:#x} is no address of a tensor")));
    }
    // SAFETY: a plugin of this tier hands over `tch::Tensor::as_ptr` of the libtorch in this process, alive during the call.
    let tensor = unsafe { Tensor::clone_from_raw(std::ptr::with_exposed_provenance(address)) };
    if !tensor.is_strided() {
        return Err(PluginError::host(
            "the tensor is undefined or sparse, expected one that lies in memory value by value",
        ));
    }
    Ok(tensor)
}

/// The libtorch of this process, for the checks of the contract on a fake host.
pub struct OwnLibtorch;

impl Libtorch for OwnLibtorch {
    fn make(&self, values: &[f32], shape: &[i64]) -> Result<(u64, Box<dyn Any>), PluginError> {
        let tensor = Tensor::from_f32(values, shape).map_err(refused)?;
        Ok((tensor.as_raw().expose_provenance() as u64, Box::new(tensor)))
    }

    fn read(&self, address: u64) -> Result<(Vec<f32>, Vec<i64>), PluginError> {
        let tensor = at(address)?;
        let plain =
            tensor.detach().and_then(|tensor| tensor.to_dtype(Dtype::F32)).and_then(|tensor| tensor.contiguous());
        Ok((plain.and_then(|plain| plain.to_vec_f32()).map_err(refused)?, tensor.shape()))
    }
}

fn refused(error: TensorError) -> PluginError {
    PluginError::host(error.to_string())
}

#[cfg(test)]
#[path = "libtorch_tier_tests.rs"]
mod tests;
