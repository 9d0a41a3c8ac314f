//! From a decoder, or from the numbers of its config, to what plugins may know of it: widths, layers, roles.

use scaleot_model::{Decoder, ModelConfig, Slot};
use scaleot_plugin_api::{LayerOutline, ModelOutline, WeightOutline, WeightRole};

/// The outline of a full model; a slot that is no layer has no weights.
pub fn outline(decoder: &Decoder) -> ModelOutline {
    let config = &decoder.config;
    let is_layer = |slot: &Slot| matches!(slot, Slot::Layer(_));
    let layers =
        decoder.slots.iter().map(is_layer).enumerate().map(|(index, has_weights)| layer(config, index, has_weights));
    ModelOutline::new(
        config.family.name.clone(),
        config.hidden,
        config.intermediate,
        config.heads,
        config.key_value_heads,
        config.vocabulary,
        layers.collect(),
    )
}

/// The outline of each layer of a model that is not loaded.
pub fn layers_of_config(config: &ModelConfig) -> impl Iterator<Item = LayerOutline> {
    (0..config.layers).map(|index| layer(config, index, true))
}

fn layer(config: &ModelConfig, index: usize, has_weights: bool) -> LayerOutline {
    let weights = if has_weights { weights(config) } else { Vec::new() };
    LayerOutline::new(index, config.hidden, weights)
}

fn weights(config: &ModelConfig) -> Vec<WeightOutline> {
    let has = |role: &WeightRole| *role != WeightRole::MlpGate || config.family.is_gated();
    let roles = WeightRole::ALL.into_iter().filter(has);
    let shape = |role| config.shape(role).into_iter().filter_map(|size| usize::try_from(size).ok()).collect();
    roles.map(|role| WeightOutline::new(role, shape(role), config.has_bias(role))).collect()
}
