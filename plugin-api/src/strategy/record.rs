//! Records: the description of a plugin and of each of its strategies, read without calling any of them.

use super::entry::StrategyEntry;
use crate::declaration::Declaration;
use crate::requirement::Requirement;
use serde::{Deserialize, Serialize};

/// The four kinds of strategy, each with its section of the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrategyKind {
    /// [`ImportanceEstimator`](crate::ImportanceEstimator).
    Importance,
    /// [`LayerReplacer`](crate::LayerReplacer).
    Replace,
    /// [`Compressor`](crate::Compressor).
    Compress,
    /// [`Adapter`](crate::Adapter).
    Adapter,
}

impl std::fmt::Display for StrategyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl StrategyKind {
    /// Every kind, in the order of a run.
    pub const ALL: [StrategyKind; 4] = [Self::Importance, Self::Replace, Self::Compress, Self::Adapter];

    /// The config section, and the word in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Importance => "importance",
            Self::Replace => "replace",
            Self::Compress => "compress",
            Self::Adapter => "adapter",
        }
    }
}

/// The description of one strategy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StrategyRecord {
    /// Its name inside the plugin, as in `use = "plugin/strategy"`.
    pub name: String,
    /// The trait that it implements.
    pub kind: StrategyKind,
    /// One sentence.
    pub about: String,
    /// JSON Schema of its options.
    pub options: serde_json::Value,
    /// Needs that a run must meet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
    /// Declarations that set it apart from others of its kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declares: Vec<Declaration>,
}

impl StrategyRecord {
    /// A strategy that needs and declares nothing.
    #[must_use]
    pub fn new(name: &str, kind: StrategyKind, about: &str, options: serde_json::Value) -> Self {
        Self { name: name.into(), kind, about: about.into(), options, requires: Vec::new(), declares: Vec::new() }
    }
}

/// The description of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PluginRecord {
    /// Its name, as in `use = "plugin/strategy"`.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// The version of the contract that it was built with.
    pub api_version: String,
    /// One sentence.
    pub about: String,
    /// The libtorch that it was built for, `major.minor`, if it shares the host's (the feature `tch`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libtorch: Option<String>,
    /// Its strategies.
    pub strategies: Vec<StrategyRecord>,
}

impl PluginRecord {
    /// The record of a plugin with these strategies.
    #[must_use]
    pub fn new(name: &str, version: &str, about: &str, entries: &[StrategyEntry]) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            api_version: crate::version::API_VERSION.into(),
            about: about.into(),
            libtorch: crate::version::built_for(),
            strategies: entries.iter().map(|entry| entry.record.clone()).collect(),
        }
    }
}
