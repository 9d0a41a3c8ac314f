//! Plugins as things that are handed over: packed by their author, added to a folder of the search path, removed from it.
//!
//! `pack` loads the library, once, to ask it what it is. `add` and `remove` load nothing.

use super::discover::SearchPath;
use super::elf::rustc_version;
use super::error::PluginFault;
use super::library::{check_library, load_library, read_library};
use super::manifest::{BuiltWith, MANIFEST_FILE, PluginManifest};
use scaleot_plugin_api::{PLUGIN_NAME_RULE, is_plugin_name};
use scaleot_store::{AtomicFile, Digest, StoreError, remove_folder, write_folder};
use std::path::{Path, PathBuf};

/// Facts about a package that its library does not hold.
#[derive(Debug, Clone)]
pub struct PackageMetadata {
    pub publisher: String,
    pub licence: String,
    pub paper: Option<String>,
}

/// Loads a library, asks it what it is, and writes the manifest beside it.
///
/// # Errors
/// A library that is refused, a name that its file does not have, or another plugin's manifest in the place.
pub fn pack(library: &Path, metadata: PackageMetadata) -> Result<PluginManifest, PackError> {
    let loaded = load_library(library, |_| Ok(()))?;
    // The library is loaded by now; what is read here is checked to be the same.
    let bytes = read_library(library)?;
    let digest = Digest::of(&bytes);
    let name = &loaded.record.name;
    let install = |problem: String| PluginFault::Install { path: library.into(), problem };
    if digest.to_string() != loaded.digest {
        return Err(install("it changed while it was read; build first, then pack".into()).into());
    }
    if !is_plugin_name(name) {
        return Err(install(format!("the plugin is named {name:?}, expected {PLUGIN_NAME_RULE}")).into());
    }
    let file = SearchPath::file_name(name);
    if library.file_name().is_none_or(|found| *found != *file) {
        return Err(install(format!("the plugin is named {name}, so its file must be {file}")).into());
    }
    let path = library.with_file_name(MANIFEST_FILE);
    if path.exists()
        && let Some(other) = PluginManifest::read(&path).ok().filter(|other| other.name != *name)
    {
        let problem = format!("{} is that of {}; put each plugin into a folder of its own", path.display(), other.name);
        return Err(install(problem).into());
    }
    let target = format!("{}-unknown-linux-{}", std::env::consts::ARCH, C_LIBRARY);
    let built_with = BuiltWith { rustc: rustc_version(&bytes), libtorch: loaded.record.libtorch.clone(), target };
    let mut manifest = PluginManifest::new(&loaded.record, (file, digest), built_with);
    (manifest.publisher, manifest.licence, manifest.paper) = (metadata.publisher, metadata.licence, metadata.paper);
    let mut file = AtomicFile::create(&path)?;
    file.put(manifest.to_toml().as_bytes())?;
    file.commit()?;
    Ok(manifest)
}

/// A library that was loaded has this program's C library.
const C_LIBRARY: &str = if cfg!(target_env = "musl") { "musl" } else { "gnu" };

/// Why a plugin was not packed, added or removed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error(transparent)]
    Plugin(#[from] PluginFault),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Copies a packed plugin (its library, or the folder of both files) into a folder of the search path; gives its new place.
///
/// # Errors
/// No manifest, a file that is not the one in the manifest, another plugin API, or one of that name that is there already.
pub fn add(source: &Path, root: &Path) -> Result<(PluginManifest, PathBuf), PackError> {
    let folder = if source.is_dir() { source } else { source.parent().unwrap_or(Path::new("")) };
    let place = folder.join(MANIFEST_FILE);
    if !place.exists() {
        return Err(PluginFault::NoManifest { path: source.into(), file: MANIFEST_FILE }.into());
    }
    let manifest = PluginManifest::read(&place)?;
    if !source.is_dir() && source.file_name().is_none_or(|name| *name != *manifest.library) {
        return Err(PluginFault::NoManifest { path: source.into(), file: MANIFEST_FILE }.into());
    }
    let mut files = Vec::new();
    for (name, expected) in &manifest.files {
        let path = folder.join(name);
        let bytes = read_library(&path)?;
        let digest = Digest::of(&bytes);
        if *name == manifest.library {
            manifest.check_library(&path, digest)?;
            check_library(&path, &bytes, digest)?;
        } else if digest != *expected {
            let problem = format!("found sha256 {digest}, expected {expected} ({MANIFEST_FILE})");
            return Err(PluginFault::Install { path, problem }.into());
        }
        files.push((name.clone(), bytes));
    }
    let text = std::fs::read(&place).map_err(|error| StoreError::read(&place, error))?;
    files.push((MANIFEST_FILE.to_owned(), text));
    let target = root.join(&manifest.name);
    if target.exists() {
        let problem =
            format!("there is a plugin {0} already; `scaleot plugin remove {0}` takes it away", manifest.name);
        return Err(PluginFault::Install { path: target, problem }.into());
    }
    scaleot_store::make_folder(root)?;
    write_folder(&target, &files)?;
    Ok((manifest, target))
}

/// Removes a plugin that [`add`] put into a folder; gives the place where it was.
///
/// # Errors
/// No such plugin there, or a folder that `add` did not write.
pub fn remove(name: &str, root: &Path) -> Result<PathBuf, PackError> {
    let refused = |path: &Path, problem: String| PluginFault::Install { path: path.into(), problem };
    if !is_plugin_name(name) {
        return Err(refused(root, format!("no plugin can be named {name:?}: expected {PLUGIN_NAME_RULE}")).into());
    }
    let target = root.join(name);
    if !target.is_dir() {
        return Err(
            refused(&target, format!("no plugin {name} is there; `scaleot plugin list` shows what is where")).into()
        );
    }
    let manifest = PluginManifest::read(&target.join(MANIFEST_FILE))?;
    if manifest.name != name {
        let problem = format!("its {MANIFEST_FILE} is that of {}; nothing was removed", manifest.name);
        return Err(refused(&target, problem).into());
    }
    remove_folder(&target)?;
    Ok(target)
}
