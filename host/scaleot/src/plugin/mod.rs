//! `plugin list|info|check|new|pack|add|remove|lock`: a plugin's way from an idea to somebody else's runs.

mod check;
mod packaging;
mod lock;
mod new;
mod show;

use super::args::{Global, PluginVerb};
use super::failure::{VerbResult, stage};
use super::output::{Output, display_path, say};
use scaleot_config::Unpinned;
use scaleot_plugins::{PluginSource, RegisteredPlugin, Registry, SearchPath, Trust};
use scaleot_store::escape::escape_to;
use serde_json::{Value, json};

/// Runs a verb about plugins.
pub fn plugin(verb: &PluginVerb, global: &Global, output: Output) -> VerbResult<()> {
    match verb {
        PluginVerb::List => show::list(&mut registry(global, Unpinned::Refuse)?, output),
        PluginVerb::Info { name } => show::info(&mut registry(global, Unpinned::Refuse)?, name, output),
        // Who asks for a check of a plugin asks for its code to be run.
        PluginVerb::Check { name } => {
            let mut registry = registry(global, Unpinned::Allow)?;
            let checked = stage(registry.plugin(name)).map(|plugin| check::check(plugin, output));
            tell(&mut registry);
            checked?
        }
        PluginVerb::New(args) => new::new(args, output),
        PluginVerb::Pack(args) => packaging::pack(args, output),
        PluginVerb::Add(args) => packaging::add(args, output),
        PluginVerb::Remove(args) => packaging::remove(args, output),
        PluginVerb::Lock(args) => lock::lock(args, global, output),
    }
}

/// The plugins in reach of the command line, without a config.
fn registry(global: &Global, unpinned: Unpinned) -> VerbResult<Registry> {
    let search = SearchPath::new(global.plugin_path.iter().cloned());
    let unpinned = global.unpinned.unwrap_or(unpinned);
    Ok(stage(Registry::new(search))?.trusting(Trust::unpinned(unpinned)))
}

/// Says what a person should know of the search path.
fn tell(registry: &mut Registry) {
    for notice in registry.take_notices() {
        say(&format!("notice: {}", escape_to(&notice, 1000)));
    }
}

fn source(plugin: &RegisteredPlugin) -> Value {
    match &plugin.source {
        PluginSource::BuiltIn => json!({ "built_in": true }),
        PluginSource::Library { path, sha256 } => json!({ "path": display_path(path), "sha256": sha256 }),
    }
}
