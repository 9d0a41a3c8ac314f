//! Refusals before any work: strategies and their options, combinations, layers that do not fit the model, adapters
//! that its layers cannot have. Reads the config, plugins and `config.json`; never weights.

use super::data::check_data;
use super::failure::{ErrorContext as _, VerbResult, stage};
use super::key_place::place;
use super::needs::Needs;
use super::strategies::check_strategies;
use scaleot_config::{ConfigNeed, KeyPath, RunConfig, StrategyKind};
use scaleot_model::ModelConfig;
use scaleot_pipeline::load::layers_of_config;
use scaleot_plugins::{AdapterHandle, Registry};

const MOST_LAYERS: usize = 1024;

/// Facts that became known on the way.
pub struct Checked {
    /// The numbers of the model, where the verb needs one.
    pub model: Option<ModelConfig>,
    reads_public_text: bool,
}

impl Checked {
    /// Notices of keys without effect.
    pub fn notices(&self, config: &RunConfig) -> Vec<String> {
        config.notices(self.reads_public_text, self.model.as_ref().map(|model| model.context))
    }
}

/// Refuses what the verb could not do.
pub fn preflight(config: &RunConfig, registry: &mut Registry, needs: Needs) -> VerbResult<Checked> {
    for need in needs.config {
        config.require(*need, needs.verb)?;
    }
    check_data(config, needs.config)?;
    check_strategies(config, registry, needs.strategies)?;
    let reads_public_text = reads_public_text(config, registry, needs.strategies)?;
    let model = match config.model.folder() {
        Some(folder) if needs.config.contains(&ConfigNeed::Model) => Some(stage(ModelConfig::read(folder))?),
        _ => None,
    };
    if let Some(model) = &model {
        check_fit(config, registry, needs, model)?;
    }
    Ok(Checked { model, reads_public_text })
}

fn reads_public_text(config: &RunConfig, registry: &mut Registry, kinds: &[StrategyKind]) -> VerbResult<bool> {
    for kind in kinds {
        let Some((name, _)) = config.strategy(*kind) else { continue };
        if config.reads_public_text(&stage(registry.strategy(&name.to_string(), *kind))?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The layers that the config asks for, and the adapter in any of them.
fn check_fit(config: &RunConfig, registry: &mut Registry, needs: Needs, model: &ModelConfig) -> VerbResult<()> {
    let uses = |kind: StrategyKind| needs.strategies.contains(&kind);
    if uses(StrategyKind::Replace) {
        config.validate_against(u32::try_from(model.layers).unwrap_or(u32::MAX))?;
    }
    if uses(StrategyKind::Adapter) {
        let (name, options) = (config.adapter.strategy.to_string(), config.options_json(StrategyKind::Adapter));
        let mut adapter =
            stage(registry.create(&name, StrategyKind::Adapter, &options).and_then(AdapterHandle::try_from))?;
        // A model with more layers is refused when its weights are looked for.
        for layer in layers_of_config(model).take(MOST_LAYERS) {
            let key = KeyPath::of("adapter").key("use");
            stage(adapter.attach(&layer)).with_context(|| place(config, &key))?;
        }
    }
    Ok(())
}
