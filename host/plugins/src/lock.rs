//! `scaleot.lock`: the plugin files that runs here may load, by SHA-256. Written by `plugin lock`, read at the start of a run.
//!
//! It lies beside the config, or in the working folder. Plugins that are built into the program are not in it.

use super::error::PluginFault;
use super::strict_toml::{plain_text, read_toml};
use scaleot_store::{AtomicFile, Digest, StoreError};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file's name.
pub const LOCK_FILE: &str = "scaleot.lock";
/// The version of its format.
const VERSION: u32 = 1;
const HEAD: &str = "# The plugin files that runs with configs here may load, and no others.\n\
                    # Written by `scaleot plugin lock CONFIG`; keep it under version control.\n\n";

/// One plugin file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPlugin {
    /// The plugin's name.
    pub id: String,
    /// Its own version.
    pub version: String,
    /// The plugin API that it was built with.
    pub api: String,
    /// Of the library.
    pub sha256: Digest,
}

/// A lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginLock {
    /// The path of the file.
    pub path: PathBuf,
    plugins: Vec<LockedPlugin>,
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockText {
    version: u32,
    #[serde(default)]
    plugin: Vec<LockedPlugin>,
}

impl PluginLock {
    /// The lock of a config: the one beside it, else the one in the working folder, if there is one.
    ///
    /// # Errors
    /// `LockFile` for a lock that cannot be read.
    pub fn of_config(config: &Path) -> Result<Option<Self>, PluginFault> {
        let places = [Self::place(config), PathBuf::from(LOCK_FILE)];
        places.into_iter().find(|path| path.exists()).map(Self::read).transpose()
    }

    /// The path of the lock file of a config.
    pub fn place(config: &Path) -> PathBuf {
        config.parent().unwrap_or(Path::new("")).join(LOCK_FILE)
    }

    fn read(path: PathBuf) -> Result<Self, PluginFault> {
        let refused = |problem: String| PluginFault::LockFile { path: path.clone(), problem };
        let bytes = std::fs::read(&path).map_err(|error| refused(error.to_string()))?;
        let text = plain_text(&bytes).map_err(refused)?;
        let LockText { version, plugin } = read_toml(text).map_err(refused)?;
        if version != VERSION {
            return Err(refused(format!("found version {version}, expected {VERSION}")));
        }
        Ok(Self { path, plugins: plugin })
    }

    /// The lock at a place, or an empty one.
    ///
    /// # Errors
    /// As [`of_config`](Self::of_config).
    pub fn open(path: PathBuf) -> Result<Self, PluginFault> {
        if path.exists() { Self::read(path) } else { Ok(Self { path, plugins: Vec::new() }) }
    }

    /// The file of a plugin that may be loaded.
    pub fn entry(&self, plugin: &str) -> Option<&LockedPlugin> {
        self.plugins.iter().find(|locked| locked.id == plugin)
    }

    /// All of them, by name.
    pub fn plugins(&self) -> &[LockedPlugin] {
        &self.plugins
    }

    /// Writes a plugin down, in the place of an older file of it.
    pub fn put(&mut self, plugin: LockedPlugin) {
        self.plugins.retain(|known| known.id != plugin.id);
        self.plugins.push(plugin);
        self.plugins.sort_by(|a, b| a.id.cmp(&b.id));
    }

    /// Writes the file.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn write(&self) -> Result<(), StoreError> {
        let text = LockText { version: VERSION, plugin: self.plugins.clone() };
        let mut file = AtomicFile::create(&self.path)?;
        file.put(HEAD.as_bytes())?;
        // Strings and numbers alone: TOML can hold them.
        file.put(toml::to_string(&text).unwrap_or_default().as_bytes())?;
        file.commit().map(drop)
    }
}
