//! The plugins of a run by name: those linked into the program, and libraries loaded when first used.

use super::discover::{Found, SearchPath};
use super::error::PluginFault;
use super::library::load_library;
use super::manifest::PluginManifest;
use super::registered::{PluginSource, RegisteredPlugin};
use super::strategy::StrategyUse;
use super::trust::{Pinned, Trust};
use scaleot_config::Unpinned;
use scaleot_plugin_api::export::BuiltIn;
use scaleot_plugin_api::{PluginRecord, StrategyKind, StrategyName, StrategyRecord};
use scaleot_store::Digest;
use scaleot_store::escape::escape;
use std::collections::BTreeMap;
use std::path::PathBuf;

fn parse(used: &str) -> Result<StrategyName, PluginFault> {
    used.parse().map_err(|_| PluginFault::Name { found: used.into() })
}

/// The plugins of a run.
pub struct Registry {
    plugins: BTreeMap<String, RegisteredPlugin>,
    pub(super) search: SearchPath,
    trust: Trust,
    /// Why each of them may be loaded.
    pinned: BTreeMap<String, Pinned>,
    notices: Vec<String>,
}

impl Registry {
    /// Built-in plugins now, libraries on this path when they are asked for. Those beside the program may be loaded, and
    /// others as [`trusting`](Self::trusting) says.
    ///
    /// # Errors
    /// `Duplicate` when two built-in plugins share a name.
    pub fn new(search: SearchPath) -> Result<Self, PluginFault> {
        let trust = Trust::unpinned(Unpinned::Refuse);
        let (plugins, pinned, notices) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let mut registry = Self { plugins, search, trust, pinned, notices };
        // inventory gives no order; the map sorts by name.
        for built_in in inventory::iter::<BuiltIn> {
            let module = (built_in.module)();
            let text = (module.describe())();
            let record: PluginRecord = serde_json::from_str(text.as_str()).map_err(|error| PluginFault::Refused {
                path: PathBuf::from("(built in)"),
                digest: String::new(),
                reason: format!("its record cannot be read: {error}"),
            })?;
            registry.insert(RegisteredPlugin { record, source: PluginSource::BuiltIn, module }, Pinned::BuiltIn)?;
        }
        Ok(registry)
    }

    /// True where the plugin of this name needs no library.
    pub fn is_built_in(&self, name: &str) -> bool {
        self.plugins.get(name).is_some_and(|plugin| plugin.source == PluginSource::BuiltIn)
    }

    /// Only libraries that `trust` admits are loaded.
    #[must_use]
    pub fn trusting(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    fn insert(&mut self, plugin: RegisteredPlugin, pinned: Pinned) -> Result<(), PluginFault> {
        let name = plugin.record.name.clone();
        if let Some(first) = self.plugins.get(&name) {
            return Err(PluginFault::Duplicate {
                name,
                first: first.source.to_string(),
                second: plugin.source.to_string(),
            });
        }
        self.pinned.insert(name.clone(), pinned);
        self.plugins.insert(name, plugin);
        Ok(())
    }

    /// Loads a library, if it is trusted under the name of its file and under the name that it gives itself.
    pub(super) fn load(&mut self, found: &Found, expected: Option<&str>) -> Result<&RegisteredPlugin, PluginFault> {
        let path = &found.path;
        let manifest = PluginManifest::beside(path)?;
        let by_file = SearchPath::plugin_name(path).unwrap_or_default();
        let mut admitted = (Pinned::No, Digest::of(&[]));
        let library = load_library(path, |digest| {
            admitted = (self.trust.admit(&by_file, found, digest)?, digest);
            manifest.as_ref().map_or(Ok(()), |manifest| manifest.check_library(path, digest))
        })?;
        let (mut pinned, digest) = admitted;
        let name = library.record.name.clone();
        if name != by_file {
            pinned = self.trust.admit(&name, found, digest)?;
        }
        if let Some(manifest) = &manifest {
            manifest.check_record(&library.record, path)?;
        }
        if let Some(expected) = expected.filter(|expected| *expected != name) {
            let (found, expected) = (escape(&name), expected.to_owned());
            return Err(PluginFault::Misnamed { path: path.clone(), digest: library.digest, found, expected });
        }
        let source = PluginSource::Library { path: path.clone(), sha256: library.digest };
        self.insert(RegisteredPlugin { record: library.record, source, module: library.module }, pinned)?;
        self.plugins.get(&name).ok_or_else(|| self.not_found(&name))
    }

    /// The plugin of this name, loaded if need be.
    ///
    /// # Errors
    /// `NotFound` with what is known, or why its library was refused.
    pub fn plugin(&mut self, name: &str) -> Result<&RegisteredPlugin, PluginFault> {
        if !self.plugins.contains_key(name) {
            let first = self.locate(name)?;
            self.load(&first, Some(name))?;
        }
        self.plugins.get(name).ok_or_else(|| self.not_found(name))
    }

    /// The library that counts as this plugin; others of its name are told of, unless they are the same to the byte.
    ///
    /// # Errors
    /// `NotFound` with what is known.
    pub fn locate(&mut self, name: &str) -> Result<Found, PluginFault> {
        let mut found = self.search.find(name).into_iter();
        let first = found.next().ok_or_else(|| self.not_found(name))?;
        let digest = |found: &Found| std::fs::read(&found.path).ok().map(|bytes| Digest::of(&bytes));
        for other in found.filter(|other| digest(other) != digest(&first)) {
            self.notices.push(format!(
                "two plugins are named {name}: {} ({}) is taken, {} ({}) is not",
                first.path.display(),
                first.origin,
                other.path.display(),
                other.origin
            ));
        }
        Ok(first)
    }

    /// The notices for a person since the last time.
    pub fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// Why a plugin that is registered may be loaded.
    pub fn pinned(&self, name: &str) -> Pinned {
        self.pinned.get(name).copied().unwrap_or(Pinned::No)
    }

    /// The plugin of this name, if it is registered by now.
    pub fn registered(&self, name: &str) -> Option<&RegisteredPlugin> {
        self.plugins.get(name)
    }

    fn not_found(&self, name: &str) -> PluginFault {
        let mut known: Vec<String> = self.plugins.keys().cloned().collect();
        known.extend(self.search.all().iter().filter_map(|found| SearchPath::plugin_name(&found.path)));
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
        let name = parse(used)?;
        let plugin = self.plugin(name.plugin())?;
        let strategies = &plugin.record.strategies;
        let of_kind = |kind: Option<StrategyKind>| {
            let names = strategies.iter().filter(|strategy| kind.is_none_or(|kind| strategy.kind == kind));
            names.map(|strategy| strategy.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let found = strategies.iter().find(|strategy| strategy.name == name.strategy());
        let found = found.ok_or_else(|| PluginFault::NoStrategy {
            used: used.into(),
            plugin: name.plugin().into(),
            strategy: name.strategy().into(),
            known: of_kind(None),
        })?;
        if found.kind != kind {
            return Err(PluginFault::WrongKind {
                used: used.into(),
                found: found.kind.as_str(),
                expected: kind.as_str(),
                known: match of_kind(Some(kind)) {
                    none if none.is_empty() => format!("none in {}", name.plugin()),
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
        let name = parse(used)?;
        let plugin = self.plugin(name.plugin())?;
        StrategyUse::create(plugin, &name, kind, options)
    }
}
