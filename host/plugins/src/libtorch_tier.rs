//! The host's half of the `tch` tier: the same libtorch on both sides, checked before a plugin is loaded, and tensors by address.

use super::arena::Arena;
use memchr::memmem;
use scaleot_plugin_api::services::{LendTensor, Service as _, TakeTensor};
use scaleot_plugin_api::{Handle, LIBTORCH_MARK, PluginError, unknown_service};
use scaleot_tensor::{Tensor, libtorch_version};

/// The form of libtorch's name among the needs of a library.
const NEEDED: [&[u8]; 2] = [b"\0libtorch_cpu.so\0", b"\0libtorch.so\0"];

/// Decides by its bytes alone if a library may share the libtorch of this process.
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

/// Answers [`LendTensor`] and [`TakeTensor`]. Only a plugin whose libtorch was compared may ask.
///
/// # Errors
/// `Unsupported` for a plugin of the other tier, `Host` for a handle that was never given out, or a tensor that cannot be held.
pub fn answer(arena: &Arena, name: &str, question: &[u8]) -> Result<Vec<u8>, PluginError> {
    if !arena.shares_libtorch() {
        return Err(unknown_service(name).with_help("build the plugin with the feature `tch` of scaleot-plugin-api"));
    }
    match name {
        LendTensor::NAME => LendTensor::answer(question, |handle| lend(arena, handle)),
        _ => TakeTensor::answer(question, |address| take(arena, address)),
    }
}

fn lend(arena: &Arena, handle: Handle) -> Result<u64, PluginError> {
    Ok(arena.address(handle)? as u64)
}

fn take(arena: &Arena, address: u64) -> Result<Handle, PluginError> {
    Ok(arena.put(tensor_at(address)?))
}

/// The tensor at an address that a plugin sent.
///
/// # Errors
/// `Host` for what is no address of a tensor, or a tensor that does not lie in memory value by value.
pub fn tensor_at(address: u64) -> Result<Tensor, PluginError> {
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

#[cfg(test)]
#[path = "libtorch_tier_tests.rs"]
mod tests;
