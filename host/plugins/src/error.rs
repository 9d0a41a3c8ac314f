//! Errors of plugins: each has the plugin's name, its file or digest, and the call that it was in.

use scaleot_plugin_api::{ErrorCode, PluginError};
use std::path::PathBuf;

/// A plugin that was refused, or that failed.
#[derive(Debug, thiserror::Error)]
pub enum PluginFault {
    /// No plugin has this name.
    #[error("plugin {plugin:?}: not built in, and no {file} in {searched}; known plugins: {known}")]
    NotFound { plugin: String, file: String, searched: String, known: String },
    /// The plugin has no such strategy.
    #[error("{used:?}: plugin {plugin} has no strategy {strategy:?}; it has {known}")]
    NoStrategy { used: String, plugin: String, strategy: String, known: String },
    /// The strategy is of another kind.
    #[error("{used:?} is for [{found}], expected a strategy for [{expected}]; of that kind there are {known}")]
    WrongKind { used: String, found: &'static str, expected: &'static str, known: String },
    /// A strategy of one kind where a handle of another was to be made.
    #[error("{used:?} is for [{found}], expected a strategy for [{expected}]")]
    OtherKind { used: String, found: &'static str, expected: &'static str },
    /// `use` does not read `plugin/strategy`.
    #[error("use = {found:?}: expected \"plugin/strategy\", for example \"scaleot/selective-rank\"")]
    Name { found: String },
    /// The file cannot be read.
    #[error("plugin file {path}: {source}; expected a library that `cargo build` made of a plugin")]
    Unreadable { path: PathBuf, source: std::io::Error },
    /// The file is no library of ours; nothing of it was loaded.
    #[error("plugin file {path} (sha256 {digest}) is refused before loading: {reason}")]
    Refused { path: PathBuf, digest: String, reason: String },
    /// The file is not the one that the config or its lock file pins (`expected` says which); nothing of it was loaded, unless it goes by another plugin's file name.
    #[error("plugin {plugin} in {path} is refused: found sha256 {found}, expected {expected}")]
    Pinned { plugin: String, path: PathBuf, found: String, expected: String },
    /// There is a lock file, and the plugin is not in it; nothing of it was loaded.
    #[error(
        "plugin {plugin} in {path} (sha256 {digest}) is refused: {lock} does not have it; \
         if it is wanted, `scaleot plugin lock CONFIG` writes it down"
    )]
    NotLocked { plugin: String, path: PathBuf, digest: String, lock: PathBuf },
    /// Nothing pins the plugin; nothing of it was loaded.
    #[error(
        "plugin {plugin} in {path} is refused: nothing pins it; if it is trusted, write its digest down with \
         `scaleot plugin lock CONFIG` or plugins.pins = {{ {plugin} = \"{digest}\" }}, or give --unpinned allow"
    )]
    Unpinned { plugin: String, path: PathBuf, digest: String },
    /// A lock file that cannot be used.
    #[error("{path}: {problem}; remove it, and `scaleot plugin lock CONFIG` writes a new one")]
    LockFile { path: PathBuf, problem: String },
    /// A manifest that cannot be used.
    #[error("{path}: {problem}")]
    Manifest { path: PathBuf, problem: String },
    /// No manifest where one is needed.
    #[error("{path}: no {file} beside it; its author writes it with `scaleot plugin pack {path}`")]
    NoManifest { path: PathBuf, file: &'static str },
    /// A plugin that is to be installed or removed, and cannot be.
    #[error("{path}: {problem}")]
    Install { path: PathBuf, problem: String },
    /// Two plugins with one name.
    #[error("two plugins are named {name:?}: {first} and {second}; remove one of them from the search path")]
    Duplicate { name: String, first: String, second: String },
    /// The library was loaded and does not fit this host.
    #[error("plugin file {path} (sha256 {digest}) does not fit this host (plugin API {host}): {reason}")]
    Incompatible { path: PathBuf, digest: String, host: &'static str, reason: String },
    /// The library says that it is another plugin than its file name.
    #[error(
        "plugin file {path} (sha256 {digest}) is refused: found plugin {found:?} in it, expected {expected:?}, as its file is named"
    )]
    Misnamed { path: PathBuf, digest: String, found: String, expected: String },
    /// The options are refused by the strategy itself.
    #[error("{used}: {error}")]
    Options { used: String, error: PluginError },
    /// The strategy returned an error.
    #[error("{used} ({source_text}) failed in `{call}`: {error}")]
    Failed { used: String, source_text: String, call: &'static str, error: PluginError },
    /// The strategy returned something that cannot be right.
    #[error("{used} ({source_text}) gave a wrong answer to `{call}`: found {found}, expected {expected}")]
    BadValue { used: String, source_text: String, call: &'static str, found: String, expected: String },
}

impl PluginFault {
    /// The plugin's own words, if it was the plugin that spoke.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Options { error, .. } | Self::Failed { error, .. } => Some(error.code),
            _ => None,
        }
    }
}
