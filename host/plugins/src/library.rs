//! From a file to a root module: read once, hash, check, seal in memory, load what was checked, greet.
//!
//! Libraries are never unloaded: tensors can hold deleters that live in them.

use super::compatible::{check_api, other_major};
use super::elf::check_elf;
use super::error::PluginFault;
use super::libtorch_tier::check_libtorch;
use crate::isolation::active_call;
use abi_stable::library::{LibraryError, lib_header_from_path};
use scaleot_plugin_api::PluginRecord;
use scaleot_plugin_api::export::{API_VERSION, PluginModule_Ref};
use scaleot_store::Digest;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// The symbol that every plugin library exports; its bytes are looked for before anything is loaded.
const ROOT_SYMBOL: &[u8] = b"_1as_0lib_1header_0root_bmodule_bloader";

/// The time that pages of a new in-memory file may be held by the kernel's own work.
const PATIENCE: Duration = Duration::from_secs(10);

/// A library that was loaded and has greeted.
pub struct LoadedLibrary {
    /// Its exports.
    pub module: PluginModule_Ref,
    /// Its own description.
    pub record: PluginRecord,
    /// SHA-256 of the bytes that were checked and loaded.
    pub digest: String,
}

/// Loads a plugin library if `admit` takes the digest of its bytes.
pub fn load_library(
    path: &Path,
    admit: impl FnOnce(Digest) -> Result<(), PluginFault>,
) -> Result<LoadedLibrary, PluginFault> {
    let bytes = read_library(path)?;
    let digest = Digest::of(&bytes);
    admit(digest)?;
    check_library(path, &bytes, digest)?;
    let digest = digest.to_string();
    let sealed = seal(&bytes).map_err(|source| PluginFault::Unreadable { path: path.into(), source })?;
    let incompatible = |reason: String| incompatible(path, &digest, reason);
    check_libtorch(&bytes).map_err(incompatible)?;
    // For good, even if the library is refused: dlopen knows what it mapped by name and inode, and would take the next
    // library under this name for this one.
    let in_memory = format!("/proc/self/fd/{}", sealed.into_raw_fd());
    let source = format!("sha256 {}", digest.get(..12).unwrap_or(&digest));
    let turn = active_call::call(&path.display(), &source, "load");
    let unreadable = |error: &_| incompatible(shorten(error).replace(&format!("{in_memory} because: "), ""));
    let header = lib_header_from_path(Path::new(&in_memory)).map_err(|error| unreadable(&error))?;
    // Before anything of the plugin is asked: what the header says is a constant of the library.
    check_api(header.version_strings().version.as_str()).map_err(incompatible)?;
    let module = header.init_root_module::<PluginModule_Ref>().map_err(|error| unreadable(&error))?;
    let record = (module.describe())();
    drop(turn);
    let record: PluginRecord = serde_json::from_str(record.as_str())
        .map_err(|error| incompatible(format!("its record cannot be read: {error}")))?;
    check_api(&record.api_version).map_err(incompatible)?;
    Ok(LoadedLibrary { module, record, digest })
}

/// All of a library.
pub fn read_library(path: &Path) -> Result<Vec<u8>, PluginFault> {
    std::fs::read(path).map_err(|source| PluginFault::Unreadable { path: path.into(), source })
}

/// Refuses bytes that cannot be a plugin of this machine; nothing of them is loaded.
pub fn check_library(path: &Path, bytes: &[u8], digest: Digest) -> Result<(), PluginFault> {
    let refuse = |reason: String| PluginFault::Refused { path: path.into(), digest: digest.to_string(), reason };
    check_elf(bytes).map_err(refuse)?;
    if contains_root_symbol(bytes) {
        return Ok(());
    }
    Err(refuse("it is a library, but exports no ScaleOT plugin; was it built with `export_plugin!`?".into()))
}

/// A library that this host cannot run.
pub(super) fn incompatible(path: &Path, digest: &str, reason: String) -> PluginFault {
    PluginFault::Incompatible { path: path.into(), digest: digest.to_owned(), host: API_VERSION, reason }
}

/// True where the bytes name the symbol that plugins export.
pub fn contains_root_symbol(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, ROOT_SYMBOL).is_some()
}

/// An in-memory file of these bytes that nobody can change any more.
fn seal(bytes: &[u8]) -> std::io::Result<std::fs::File> {
    // SAFETY: the name is a C string; flags are valid; the descriptor is checked before use.
    let fd = unsafe { libc::memfd_create(c"scaleot-plugin".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and owned by nobody else.
    let mut file = unsafe { std::fs::File::from_raw_fd(fd) };
    file.write_all(bytes)?;
    add_seals(&file)?;
    Ok(file)
}

/// Forbids every change of the file. The kernel calls a page busy while anything else holds it for a moment, its own
/// compaction and page monitoring too, and gives up waiting after a fraction of a second; so it is asked again.
fn add_seals(file: &std::fs::File) -> std::io::Result<()> {
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    let began = Instant::now();
    loop {
        // SAFETY: a plain fcntl on a descriptor that we own.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } == 0 {
            return Ok(());
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::ResourceBusy || began.elapsed() > PATIENCE {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The useful end of abi_stable's report: a layout difference prints hundreds of lines with the cause at the end.
fn shorten(error: &LibraryError) -> String {
    match error {
        LibraryError::IncompatibleVersionNumber { actual_version, .. } => other_major(&actual_version.to_string()),
        LibraryError::AbiInstability(_) => {
            "its layout differs although the version is the same; rebuild it with this host's scaleot-plugin-api"
                .to_owned()
        }
        other => {
            let text = other.to_string();
            let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            lines.iter().rev().take(3).rev().copied().collect::<Vec<_>>().join(" ")
        }
    }
}

#[cfg(test)]
#[path = "library_tests.rs"]
mod tests;
