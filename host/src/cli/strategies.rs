//! The strategies that a config names, looked up before anything is computed, so that a slip is told by file, line and key.

use anyhow::Context as _;
use host::config::{KeyPath, KnownStrategy, RunConfig, StrategyKind};
use host::plugins::{RegisteredPlugin, Registry};
use plugin_api::StrategyKind as PluginKind;

use super::failure::stage;

/// Every kind, for verbs that need them all.
pub const ALL: &[StrategyKind] =
    &[StrategyKind::Importance, StrategyKind::Replace, StrategyKind::Compress, StrategyKind::Adapter];

/// Each strategy exists, is of its section's kind, takes its options, and finds what it needs.
pub fn check_strategies(config: &RunConfig, registry: &mut Registry, kinds: &[StrategyKind]) -> anyhow::Result<()> {
    // Only the plugins that the config names are loaded; a refused one says so itself.
    for kind in kinds {
        if let Some((name, _)) = config.strategy(*kind) {
            let found = stage(registry.plugin(name.plugin()).map(drop));
            found.with_context(|| place(config, &KeyPath::of(kind.as_str()).key("use")))?;
        }
    }
    let known: Vec<KnownStrategy> = registry.plugins().flat_map(strategies).collect();
    for kind in kinds {
        let Some((name, _)) = config.strategy(*kind) else { continue };
        config.check_strategy(*kind, &known)?;
        let record = stage(registry.strategy(&name.to_string(), plugin_kind(*kind)))?;
        config.check_strategy_options(*kind, &record.options)?;
        config.check_requirements(*kind, &record)?;
    }
    Ok(())
}

fn place(config: &RunConfig, key: &KeyPath) -> String {
    format!("{}: key `{key}`", config.places().of(key))
}

fn strategies(plugin: &RegisteredPlugin) -> Vec<KnownStrategy> {
    let name = |strategy: &str| format!("{}/{strategy}", plugin.record.name);
    let strategies = plugin.record.strategies.iter();
    strategies.map(|strategy| KnownStrategy { kind: config_kind(strategy.kind), name: name(&strategy.name) }).collect()
}

fn config_kind(kind: PluginKind) -> StrategyKind {
    match kind {
        PluginKind::Importance => StrategyKind::Importance,
        PluginKind::Replace => StrategyKind::Replace,
        PluginKind::Compress => StrategyKind::Compress,
        PluginKind::Adapter => StrategyKind::Adapter,
    }
}

fn plugin_kind(kind: StrategyKind) -> PluginKind {
    match kind {
        StrategyKind::Importance => PluginKind::Importance,
        StrategyKind::Replace => PluginKind::Replace,
        StrategyKind::Compress => PluginKind::Compress,
        StrategyKind::Adapter => PluginKind::Adapter,
    }
}
