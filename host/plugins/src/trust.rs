//! Plugin files that may be loaded: those that are pinned by digest, those beside the program, and others only where unpinned
//! ones are allowed. Decided on the digest of the very bytes that would be loaded, before anything of them runs.

use super::discover::{Found, program_folder};
use super::error::PluginFault;
use super::lock::PluginLock;
use scaleot_config::Unpinned;
use scaleot_store::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Why a plugin may be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pinned {
    /// It is part of the program.
    BuiltIn,
    /// `plugins.pins` of the config names its digest.
    Config,
    /// `scaleot.lock` names its digest.
    Lock,
    /// It lies beside the program: whoever can change it can change the program.
    Program,
    /// Nothing: unpinned plugins are allowed.
    No,
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BuiltIn => "built in",
            Self::Config => "pinned by plugins.pins",
            Self::Lock => "pinned by scaleot.lock",
            Self::Program => "beside the program",
            Self::No => "not pinned",
        })
    }
}

/// The files that may be loaded.
#[derive(Debug, Clone)]
pub struct Trust {
    /// Digests by plugin name, from the config.
    pub pins: BTreeMap<String, Digest>,
    /// The lock file; where there is one, it names every plugin that may be loaded.
    pub lock: Option<PluginLock>,
    /// The treatment of a plugin that nothing pins.
    pub unpinned: Unpinned,
}

impl Trust {
    /// No pins.
    pub fn unpinned(unpinned: Unpinned) -> Self {
        Self { pins: BTreeMap::new(), lock: None, unpinned }
    }

    /// Decides if a library of this digest may be loaded as this plugin.
    ///
    /// # Errors
    /// `Pinned`, `Locked`, `NotLocked` or `Unpinned`, with both digests where there are two.
    pub fn admit(&self, plugin: &str, found: &Found, digest: Digest) -> Result<Pinned, PluginFault> {
        let refused = |expected: Digest, by: &str| PluginFault::Pinned {
            plugin: plugin.to_owned(),
            path: found.path.clone(),
            found: digest.to_string(),
            expected: format!("{expected} ({by})"),
        };
        let pin = self.pins.get(plugin);
        if let Some(pin) = pin.filter(|pin| **pin != digest) {
            return Err(refused(*pin, "plugins.pins; if the new file is wanted, write its digest there"));
        }
        if let Some(lock) = &self.lock {
            let lock_path = lock.path.display();
            let entry = lock.entry(plugin).ok_or_else(|| PluginFault::NotLocked {
                plugin: plugin.to_owned(),
                path: found.path.clone(),
                digest: digest.to_string(),
                lock: lock.path.clone(),
            })?;
            if entry.sha256 != digest {
                let by = format!("{lock_path}; if the new file is wanted, `scaleot plugin lock CONFIG` writes it down");
                return Err(refused(entry.sha256, &by));
            }
            return Ok(if pin.is_some() { Pinned::Config } else { Pinned::Lock });
        }
        match (pin, self.unpinned) {
            (Some(_), _) => Ok(Pinned::Config),
            (None, _) if is_own(&found.path) => Ok(Pinned::Program),
            (None, Unpinned::Allow) => Ok(Pinned::No),
            (None, Unpinned::Refuse) => Err(PluginFault::Unpinned {
                plugin: plugin.to_owned(),
                path: found.path.clone(),
                digest: digest.to_string(),
            }),
        }
    }
}

fn is_own(library: &Path) -> bool {
    let folder = library.parent().and_then(|folder| folder.canonicalize().ok());
    folder.is_some() && folder == program_folder().and_then(|folder| folder.canonicalize().ok())
}
