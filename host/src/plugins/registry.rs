//! The plugins of a run by name: those linked into the program, and libraries loaded when first used.

use super::discover::SearchPath;
use super::error::PluginFault;
use super::library::load_library;
use super::strategy::{StrategyName, StrategyUse};
use crate::fault::escape;
use crate::isolation::active_call;
use crate::store::Digest;
use plugin_api::conformance::{Conformance, Verdict};
use plugin_api::export::{BuiltIn, PluginModule_Ref};
use plugin_api::{PluginRecord, StrategyKind, StrategyRecord};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a plugin's code comes from.
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
    /// What it says of itself.
    pub record: PluginRecord,
    /// Where its code comes from.
    pub source: PluginSource,
    pub(super) module: PluginModule_Ref,
}

impl RegisteredPlugin {
    /// Tries every promise of the contract on a fake host, each strategy with its default options.
    pub fn conformance(&self) -> Vec<Verdict> {
        let _turn = active_call::call(&self.record.name, &self.source, "the checks of the contract");
        Conformance::of(self.module).verdicts()
    }
}

/// The plugins of a run.
pub struct Registry {
    plugins: BTreeMap<String, RegisteredPlugin>,
    search: SearchPath,
    pins: BTreeMap<String, Digest>,
}

impl Registry {
    /// Built-in plugins now, libraries on this path when they are asked for.
    ///
    /// # Errors
    /// `Duplicate` when two built-in plugins share a name.
    pub fn new(search: SearchPath) -> Result<Self, PluginFault> {
        let mut registry = Self { plugins: BTreeMap::new(), search, pins: BTreeMap::new() };
        // inventory gives no order; the map sorts by name.
        for built_in in inventory::iter::<BuiltIn> {
            let module = (built_in.module)();
            let text = (module.describe())();
            let record: PluginRecord = serde_json::from_str(text.as_str()).map_err(|error| PluginFault::Refused {
                path: PathBuf::from("(built in)"),
                digest: String::new(),
                reason: format!("its record cannot be read: {error}"),
            })?;
            registry.insert(RegisteredPlugin { record, source: PluginSource::BuiltIn, module })?;
        }
        Ok(registry)
    }

    /// Whether the plugin of this name needs no library.
    pub fn is_built_in(&self, name: &str) -> bool {
        self.plugins.get(name).is_some_and(|plugin| plugin.source == PluginSource::BuiltIn)
    }

    /// Plugins of these names load from a library of this digest and from no other.
    #[must_use]
    pub fn with_pins(mut self, pins: BTreeMap<String, Digest>) -> Self {
        self.pins = pins;
        self
    }

    /// The pin that a library falls under, by its file name; a library of another name cannot stand in for a pinned plugin.
    fn pin(&self, path: &Path) -> Option<(&str, Digest)> {
        let named = |plugin: &String| path.file_name().is_some_and(|file| *file == *SearchPath::file_name(plugin));
        self.pins.iter().find(|(plugin, _)| named(plugin)).map(|(plugin, pin)| (plugin.as_str(), *pin))
    }

    fn insert(&mut self, plugin: RegisteredPlugin) -> Result<(), PluginFault> {
        let name = plugin.record.name.clone();
        if let Some(first) = self.plugins.get(&name) {
            return Err(PluginFault::Duplicate {
                name,
                first: first.source.to_string(),
                second: plugin.source.to_string(),
            });
        }
        self.plugins.insert(name, plugin);
        Ok(())
    }

    /// Loads every library on the search path; what was refused comes back with its reason.
    pub fn load_all(&mut self) -> Vec<PluginFault> {
        let loaded: Vec<PathBuf> = self
            .plugins
            .values()
            .filter_map(|plugin| match &plugin.source {
                PluginSource::Library { path, .. } => Some(path.clone()),
                PluginSource::BuiltIn => None,
            })
            .collect();
        let files: Vec<PathBuf> = self.search.all().into_iter().filter(|file| !loaded.contains(file)).collect();
        files.iter().filter_map(|file| self.load_file(file, None).err()).collect()
    }

    fn load_file(&mut self, path: &Path, expected: Option<&str>) -> Result<(), PluginFault> {
        let library = load_library(path, self.pin(path))?;
        let source = PluginSource::Library { path: path.into(), sha256: library.digest.clone() };
        if let PluginSource::Library { path, sha256 } = &source
            && let Some(pin) = self.pins.get(&library.record.name).filter(|pin| pin.to_string() != *sha256)
        {
            let (path, found, expected) = (path.clone(), sha256.clone(), pin.to_string());
            return Err(PluginFault::Pinned { plugin: library.record.name, path, found, expected });
        }
        if let Some(expected) = expected.filter(|expected| *expected != library.record.name) {
            let (found, expected) = (escape(&library.record.name), expected.to_owned());
            return Err(PluginFault::Misnamed { path: path.into(), digest: library.digest, found, expected });
        }
        self.insert(RegisteredPlugin { record: library.record, source, module: library.module })
    }

    /// The plugin of this name, loaded if need be.
    ///
    /// # Errors
    /// `NotFound` with what is known, or why its library was refused.
    pub fn plugin(&mut self, name: &str) -> Result<&RegisteredPlugin, PluginFault> {
        if !self.plugins.contains_key(name) {
            let path = self.search.find(name).ok_or_else(|| self.not_found(name))?;
            self.load_file(&path, Some(name))?;
        }
        self.plugins.get(name).ok_or_else(|| self.not_found(name))
    }

    fn not_found(&self, name: &str) -> PluginFault {
        let mut known: Vec<String> = self.plugins.keys().cloned().collect();
        known.extend(self.search.all().iter().filter_map(|file| SearchPath::plugin_name(file)));
        known.sort();
        known.dedup();
        PluginFault::NotFound {
            plugin: name.into(),
            file: SearchPath::file_name(name),
            searched: self.search.describe(),
            known: known.join(", "),
        }
    }

    /// Every plugin that is registered by now, by name.
    pub fn plugins(&self) -> impl Iterator<Item = &RegisteredPlugin> {
        self.plugins.values()
    }

    /// The record of a strategy, if it exists and is of this kind.
    ///
    /// # Errors
    /// `Name`, `NotFound`, `NoStrategy` or `WrongKind`.
    pub fn strategy(&mut self, used: &str, kind: StrategyKind) -> Result<StrategyRecord, PluginFault> {
        let name = StrategyName::parse(used)?;
        let plugin = self.plugin(&name.plugin)?;
        let strategies = &plugin.record.strategies;
        let of_kind = |kind: Option<StrategyKind>| {
            let names = strategies.iter().filter(|strategy| kind.is_none_or(|kind| strategy.kind == kind));
            names.map(|strategy| strategy.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let found = strategies.iter().find(|strategy| strategy.name == name.strategy);
        let found = found.ok_or_else(|| PluginFault::NoStrategy {
            used: used.into(),
            plugin: name.plugin.clone(),
            strategy: name.strategy.clone(),
            known: of_kind(None),
        })?;
        if found.kind != kind {
            return Err(PluginFault::WrongKind {
                used: used.into(),
                found: found.kind.as_str(),
                expected: kind.as_str(),
                known: match of_kind(Some(kind)) {
                    none if none.is_empty() => format!("none in {}", name.plugin),
                    some => some,
                },
            });
        }
        Ok(found.clone())
    }

    /// Makes a strategy with its options.
    ///
    /// # Errors
    /// As [`strategy`](Self::strategy), and `Options` when the strategy refuses them.
    pub fn create(
        &mut self,
        used: &str,
        kind: StrategyKind,
        options: &serde_json::Value,
    ) -> Result<StrategyUse, PluginFault> {
        self.strategy(used, kind)?;
        let name = StrategyName::parse(used)?;
        let plugin = self.plugin(&name.plugin)?;
        StrategyUse::create(plugin, &name, options)
    }
}
