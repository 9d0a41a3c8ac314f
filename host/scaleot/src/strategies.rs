//! The strategies that a config names, looked up before anything is computed, so that a mistake is refused by file, line and key.

use scaleot_config::{KeyPath, KnownStrategy, RunConfig, StrategyKind};
use scaleot_pipeline::error::StageError;
use scaleot_plugin_api::ErrorCode;
use scaleot_plugins::{PluginFault, RegisteredPlugin, Registry};

use super::failure::{ErrorContext as _, VerbError, VerbResult, stage};
use super::key_place::place;

/// Each strategy exists, is of its section's kind, takes its options, finds what it needs, and goes with the others.
pub fn check_strategies(config: &RunConfig, registry: &mut Registry, kinds: &[StrategyKind]) -> VerbResult<()> {
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
        let record = stage(registry.strategy(&name.to_string(), *kind))?;
        config.check_strategy_options(*kind, &record.options)?;
        config.check_requirements(*kind, &record)?;
        let made = registry.create(&name.to_string(), *kind, &config.options_json(*kind));
        made.map(drop).map_err(|fault| refused_options(config, *kind, fault))?;
    }
    check_combination(config, registry, kinds)
}

/// Adds the place to a refusal that only the strategy itself can make; where the options stand, the config knows.
fn refused_options(config: &RunConfig, kind: StrategyKind, fault: PluginFault) -> VerbError {
    let of_options = fault.code() == Some(ErrorCode::Options);
    let fault = StageError::from(fault);
    if !of_options {
        return fault.into();
    }
    let (message, options) = (fault.to_string(), KeyPath::of(kind.as_str()).key("options"));
    // A strategy names the options that it speaks of.
    let named = |name: &&String| message.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == *name);
    let given = config.strategy(kind).and_then(|(_, given)| given.keys().find(named));
    let key = given.map_or_else(|| options.clone(), |name| options.key(name));
    VerbError::from(fault).with_context(|| place(config, &key))
}

/// Of the strategies that a verb uses, those that must go together do.
fn check_combination(config: &RunConfig, registry: &mut Registry, kinds: &[StrategyKind]) -> VerbResult<()> {
    if !kinds.contains(&StrategyKind::Replace) {
        return Ok(());
    }
    let replacer = stage(registry.strategy(&config.replace.strategy.to_string(), StrategyKind::Replace))?;
    config.check_trains(&replacer)?;
    if kinds.contains(&StrategyKind::Importance) {
        let estimator = stage(registry.strategy(&config.importance.strategy.to_string(), StrategyKind::Importance))?;
        config.check_combination(&estimator, &replacer)?;
    }
    Ok(())
}

fn strategies(plugin: &RegisteredPlugin) -> Vec<KnownStrategy> {
    let name = |strategy: &str| format!("{}/{strategy}", plugin.record.name);
    let strategies = plugin.record.strategies.iter();
    strategies.map(|strategy| KnownStrategy { kind: strategy.kind, name: name(&strategy.name) }).collect()
}
