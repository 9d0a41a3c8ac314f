//! From a decoder to what plugins may know of it: widths, layers, roles.

use crate::model::{Decoder, DecoderLayer, Slot};
use plugin_api::{LayerOutline, ModelOutline, WeightOutline, WeightRole};

/// The outline of a full model; a slot that is no layer has no weights.
pub fn outline(decoder: &Decoder) -> ModelOutline {
    let config = &decoder.config;
    let layers = decoder.slots.iter().enumerate().map(|(index, slot)| LayerOutline {
        index,
        hidden_size: config.hidden,
        weights: match slot {
            Slot::Layer(layer) => weights(decoder, layer),
            Slot::Module(_) => Vec::new(),
        },
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

fn weights(decoder: &Decoder, layer: &DecoderLayer) -> Vec<WeightOutline> {
    let has = |role: &WeightRole| !role.is_matrix() || layer.projection(*role).is_some();
    let roles = WeightRole::ALL.into_iter().filter(has);
    let shape = |role| decoder.config.shape(role).into_iter().filter_map(|size| usize::try_from(size).ok()).collect();
    roles.map(|role| WeightOutline { role, shape: shape(role), bias: decoder.config.has_bias(role) }).collect()
}
