//! From a decoder, or from the numbers of its config, to what plugins may know of it: widths, layers, roles.

use crate::model::{Decoder, ModelConfig, Slot};
use plugin_api::{LayerOutline, ModelOutline, WeightOutline, WeightRole};

/// The outline of a full model; a slot that is no layer has no weights.
pub fn outline(decoder: &Decoder) -> ModelOutline {
    let is_layer = |slot: &Slot| matches!(slot, Slot::Layer(_));
    of_slots(&decoder.config, decoder.slots.iter().map(is_layer))
}

/// The outline of a full model that is not loaded.
pub fn outline_of_config(config: &ModelConfig) -> ModelOutline {
    of_slots(config, std::iter::repeat_n(true, config.layers))
}

fn of_slots(config: &ModelConfig, are_layers: impl Iterator<Item = bool>) -> ModelOutline {
    let layers = are_layers.enumerate().map(|(index, is_layer)| LayerOutline {
        index,
        hidden_size: config.hidden,
        weights: if is_layer { weights(config) } else { Vec::new() },
    });
    ModelOutline {
        family: config.family.name.clone(),
        hidden_size: config.hidden,
        intermediate_size: config.intermediate,
        n_heads: config.heads,
        n_kv_heads: config.key_value_heads,
        vocab_size: config.vocabulary,
        layers: layers.collect(),
    }
}

fn weights(config: &ModelConfig) -> Vec<WeightOutline> {
    let has = |role: &WeightRole| *role != WeightRole::MlpGate || config.family.is_gated();
    let roles = WeightRole::ALL.into_iter().filter(has);
    let shape = |role| config.shape(role).into_iter().filter_map(|size| usize::try_from(size).ok()).collect();
    roles.map(|role| WeightOutline { role, shape: shape(role), bias: config.has_bias(role) }).collect()
}
