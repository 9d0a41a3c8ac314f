//! The plugin files behind each section, exactly: `plugins.json` at the top of the run folder.
//!
//! Kept there and nowhere else, since artefacts hold no path; the report repeats all but the path.

use super::core::RunCore;
use crate::error::StageError;
use scaleot_config::StrategyKind;
use scaleot_plugins::{Pinned, PluginSource};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

const FILE: &str = "plugins.json";
const KINDS: [StrategyKind; 4] =
    [StrategyKind::Importance, StrategyKind::Replace, StrategyKind::Compress, StrategyKind::Adapter];

/// The plugin behind a section of the config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginUsed {
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// The plugin API that it was built with.
    pub api: String,
    /// Of the library that was loaded; none where it is built in.
    pub sha256: Option<String>,
    /// Why it could be loaded.
    pub pinned: Pinned,
    /// The library, for people: what is no UTF-8 in its path stands as U+FFFD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// Plugins by section.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PluginsUsed(pub BTreeMap<String, PluginUsed>);

impl PluginsUsed {
    /// The record of a run folder; an unreadable one is none.
    pub fn read(run: &Path) -> Self {
        let text = std::fs::read(run.join(FILE)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

impl RunCore {
    /// The record of the run folder, with the plugins that are registered now in the place of older ones.
    pub fn plugins_used(&self) -> PluginsUsed {
        let mut record = PluginsUsed::read(self.dir.path());
        for kind in KINDS {
            let name = self.config.strategy(kind).map(|(name, _)| name.plugin());
            record.0.retain(|of, used| of != kind.as_str() || name == Some(&used.name));
            record.0.extend(self.plugin_used(kind).map(|used| (kind.as_str().to_owned(), used)));
        }
        record
    }

    /// Keeps the record beside the results.
    ///
    /// # Errors
    /// A run folder that cannot be written.
    pub fn record_plugins(&self) -> Result<(), StageError> {
        let record = self.plugins_used();
        if record == PluginsUsed::read(self.dir.path()) {
            return Ok(());
        }
        let mut file = self.dir.file(FILE)?;
        file.put(&serde_json::to_vec_pretty(&record).unwrap_or_default())?;
        Ok(file.commit().map(drop)?)
    }

    fn plugin_used(&self, kind: StrategyKind) -> Option<PluginUsed> {
        let (name, _) = self.config.strategy(kind)?;
        let plugin = self.registry.registered(name.plugin())?;
        let (sha256, path) = match &plugin.source {
            PluginSource::BuiltIn => (None, None),
            PluginSource::Library { path, sha256 } => (Some(sha256.clone()), Some(path.to_string_lossy().into_owned())),
        };
        Some(PluginUsed {
            name: plugin.record.name.clone(),
            version: plugin.record.version.clone(),
            api: plugin.record.api_version.clone(),
            sha256,
            pinned: self.registry.pinned(name.plugin()),
            path,
        })
    }
}
