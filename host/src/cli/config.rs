//! `config validate|show|schema`.

use super::args::{ConfigVerb, Global};
use super::output::Output;
use super::session;
use host::config::{KnownStrategy, PathNeed, RunConfig, StrategyKind, show};
use host::pipeline::run::registry;
use host::plugins::Registry;
use plugin_api::StrategyKind as PluginKind;
use serde_json::json;

/// Runs a verb about configs.
pub fn config(verb: &ConfigVerb, global: &Global, output: Output) -> anyhow::Result<()> {
    match verb {
        ConfigVerb::Schema => output.text(&serde_json::to_string_pretty(&show::schema())?),
        ConfigVerb::Show(args) => {
            let config = session::load(args, global)?;
            let text = config.to_toml()?;
            output.result(&config, || text.trim_end().to_owned())
        }
        ConfigVerb::Validate(args) => {
            let config = session::load(args, global)?;
            for need in [PathNeed::Model, PathNeed::Data, PathNeed::PublicText, PathNeed::Evaluate] {
                config.require(need)?;
            }
            check_strategies(&config, &mut registry(&config, &global.plugin_path)?)?;
            let digest = config.digest()?;
            let value = json!({ "valid": true, "config": args.config, "sha256": digest });
            output.result(&value, || format!("{}: valid, sha256 {digest}", args.config.display()))
        }
    }
}

/// Every strategy exists, is of its section's kind, and takes its options.
fn check_strategies(config: &RunConfig, registry: &mut Registry) -> anyhow::Result<()> {
    let kinds = [
        (StrategyKind::Importance, PluginKind::Importance),
        (StrategyKind::Replace, PluginKind::Replace),
        (StrategyKind::Compress, PluginKind::Compress),
        (StrategyKind::Adapter, PluginKind::Adapter),
    ];
    // Only the plugins that the config names are loaded; a refused one says so itself.
    for (kind, _) in kinds {
        if let Some((name, _)) = config.strategy(kind) {
            registry.plugin(name.plugin())?;
        }
    }
    let known = known(registry);
    for (kind, plugin_kind) in kinds {
        let Some((name, _)) = config.strategy(kind) else { continue };
        config.check_strategy(kind, &known)?;
        let record = registry.strategy(&name.to_string(), plugin_kind)?;
        config.check_strategy_options(kind, &record.options)?;
    }
    Ok(())
}

fn known(registry: &Registry) -> Vec<KnownStrategy> {
    let kind = |kind| match kind {
        PluginKind::Importance => StrategyKind::Importance,
        PluginKind::Replace => StrategyKind::Replace,
        PluginKind::Compress => StrategyKind::Compress,
        PluginKind::Adapter => StrategyKind::Adapter,
    };
    let of_plugin = |plugin: &host::plugins::RegisteredPlugin| {
        let name = plugin.record.name.clone();
        let strategies = plugin.record.strategies.clone().into_iter();
        strategies.map(move |s| KnownStrategy { kind: kind(s.kind), name: format!("{name}/{}", s.name) })
    };
    registry.plugins().flat_map(of_plugin).collect()
}
