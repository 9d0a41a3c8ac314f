//! A plugin that can be used: its record, and the source of its code.

use crate::isolation::active_call;
use scaleot_plugin_api::PluginRecord;
use scaleot_plugin_api::export::PluginModule_Ref;
use std::fmt;
use std::path::{Path, PathBuf};

/// The source of a plugin's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginSource {
    /// Linked into the program.
    BuiltIn,
    /// A library of this digest.
    Library { path: PathBuf, sha256: String },
}

impl fmt::Display for PluginSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::Library { path, sha256 } => {
                write!(f, "{}, sha256 {}", path.display(), sha256.get(..12).unwrap_or(sha256))
            }
        }
    }
}

/// A plugin that can be used.
pub struct RegisteredPlugin {
    /// Its own description.
    pub record: PluginRecord,
    /// The source of its code.
    pub source: PluginSource,
    pub(super) module: PluginModule_Ref,
}

impl RegisteredPlugin {
    /// True where its code comes from this file.
    pub fn is_from(&self, file: &Path) -> bool {
        matches!(&self.source, PluginSource::Library { path, .. } if path == file)
    }

    /// Hands its root module to checks of the contract: whatever happens in there is the plugin's.
    pub fn checked<R>(&self, checks: impl FnOnce(PluginModule_Ref) -> R) -> R {
        let _turn = active_call::call(&self.record.name, &self.source, "the checks of the contract");
        checks(self.module)
    }
}
