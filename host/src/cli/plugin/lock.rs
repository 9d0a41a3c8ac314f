//! `plugin lock CONFIG`: writes down the exact plugin files that runs with the config may load.

use super::{Output, shown_path, tell};
use crate::cli::args::{Global, LockArgs};
use crate::cli::failure::stage;
use crate::cli::session;
use crate::cli::strategies::ALL;
use host::config::Unpinned;
use host::pipeline::run::registry;
use host::plugins::{LockedPlugin, PluginFault, PluginLock, PluginSource, Registry, Standing, Trust};
use serde_json::json;
use std::collections::BTreeSet;

pub fn lock(args: &LockArgs, global: &Global, output: Output) -> anyhow::Result<()> {
    let config = session::load(&args.run, global)?;
    let mut lock = stage(PluginLock::open(PluginLock::place(&args.run.config)))?;
    // The lock that is being written does not bind; pins of the config do. Writing a plugin down is how it is trusted.
    let trust = Trust { pins: config.plugins.pins.clone(), lock: None, unpinned: Unpinned::Allow };
    let mut registry = stage(registry(&config, &global.plugin_path))?.trusting(trust);
    let names: BTreeSet<&str> = ALL.iter().filter_map(|kind| Some(config.strategy(*kind)?.0.plugin())).collect();
    let (mut locked, mut built_in) = (Vec::new(), Vec::new());
    for name in names {
        match stage(entry(&mut registry, name))? {
            Some(entry) => locked.push(entry),
            None => built_in.push(name.to_owned()),
        }
    }
    tell(&mut registry);
    locked.iter().for_each(|entry| lock.put(entry.clone()));
    stage(lock.write())?;
    output.result(&json!({ "lock": shown_path(&lock.path), "locked": locked, "built_in": built_in }), || {
        let line = |entry: &LockedPlugin| format!("\n{} {} sha256 {}", entry.id, entry.version, entry.sha256);
        let locked: String = locked.iter().map(line).collect();
        let built_in: String = built_in.iter().map(|name| format!("\n{name} is built in and needs no lock")).collect();
        format!("{} has {} plugins{locked}{built_in}", lock.path.display(), lock.plugins().len())
    })
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
