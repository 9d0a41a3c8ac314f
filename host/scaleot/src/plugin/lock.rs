//! `plugin lock CONFIG`: writes down the exact plugin files that runs with the config, or the cells of the suite, may load.

use super::{Output, display_path, tell};
use crate::args::{Global, LockArgs};
use crate::failure::{VerbResult, stage};
use crate::needs::ALL;
use crate::{session, suite};
use scaleot_config::{RunConfig, StrategyKind, Unpinned};
use scaleot_pipeline::run::registry;
use scaleot_plugins::{LOCK_FILE, LockedPlugin, PluginFault, PluginLock, PluginSource, Registry, Standing, Trust};
use scaleot_suite::Suite;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

pub fn lock(args: &LockArgs, global: &Global, output: Output) -> VerbResult<()> {
    let (configs, place) = match Suite::is_suite(&args.run.config) {
        // Its cells lie in the output, and look in the working folder.
        true => (suite::configs(&suite::args_of(&args.run), global)?, PathBuf::from(LOCK_FILE)),
        false => (vec![session::load(&args.run, global)?], PluginLock::place(&args.run.config)),
    };
    let mut lock = stage(PluginLock::open(place))?;
    let mut seen = Seen::default();
    for config in &configs {
        seen.add(config, global)?;
    }
    let Seen { locked, built_in } = seen;
    locked.values().for_each(|entry| lock.put(entry.clone()));
    stage(lock.write())?;
    let locked: Vec<&LockedPlugin> = locked.values().collect();
    output.result(&json!({ "lock": display_path(&lock.path), "locked": locked, "built_in": built_in }), || {
        let line = |entry: &&LockedPlugin| format!("\n{} {} sha256 {}", entry.id, entry.version, entry.sha256);
        let locked: String = locked.iter().map(line).collect();
        let built_in: String = built_in.iter().map(|name| format!("\n{name} is built in and needs no lock")).collect();
        format!("{} has {} plugins{locked}{built_in}", lock.path.display(), lock.plugins().len())
    })
}

/// The plugins of one config, or of all cells of a suite.
#[derive(Default)]
struct Seen {
    locked: BTreeMap<String, LockedPlugin>,
    built_in: BTreeSet<String>,
}

impl Seen {
    fn add(&mut self, config: &RunConfig, global: &Global) -> VerbResult<()> {
        let plugin = |kind: &StrategyKind| Some(config.strategy(*kind)?.0.plugin().to_owned());
        let mut names: BTreeSet<String> = ALL.iter().filter_map(plugin).collect();
        names.retain(|name| !self.locked.contains_key(name) && !self.built_in.contains(name));
        if names.is_empty() {
            return Ok(());
        }
        // The lock that is being written does not bind; pins of the config do. Writing a plugin down is how it is trusted.
        let trust = Trust { pins: config.plugins.pins.clone(), lock: None, unpinned: Unpinned::Allow };
        let mut registry = stage(registry(config, &global.plugin_path))?.trusting(trust);
        for name in names {
            match stage(entry(&mut registry, &name))? {
                Some(entry) => drop(self.locked.insert(name, entry)),
                None => drop(self.built_in.insert(name)),
            }
        }
        tell(&mut registry);
        Ok(())
    }
}

/// The file that counts as a plugin now; none where it is built in.
fn entry(registry: &mut Registry, name: &str) -> Result<Option<LockedPlugin>, PluginFault> {
    if registry.registered(name).is_some() {
        return Ok(None);
    }
    if let Standing::Described(manifest, sha256) = registry.look_up(name)?.standing {
        let id = name.to_owned();
        return Ok(Some(LockedPlugin { id, version: manifest.version, api: manifest.api, sha256 }));
    }
    let plugin = registry.plugin(name)?;
    let PluginSource::Library { path, sha256 } = &plugin.source else { return Ok(None) };
    let unreadable = |problem: String| PluginFault::Install { path: path.clone(), problem };
    Ok(Some(LockedPlugin {
        id: name.to_owned(),
        version: plugin.record.version.clone(),
        api: plugin.record.api_version.clone(),
        sha256: sha256.parse().map_err(|error| unreadable(format!("{error}")))?,
    }))
}
