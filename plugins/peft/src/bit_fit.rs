//! BitFit: the layer's biases train, nothing else. Families without biases (llama) cannot have it.

use crate::NoOptions;
use scaleot_plugin_api::{Adapter, AdapterModule, AdapterPart, Checkpoint, LayerOutline, PluginError, Strategy};

/// Biases train.
pub struct BitFit;

impl Strategy for BitFit {
    type Options = NoOptions;
    fn new(_: NoOptions) -> Result<Self, PluginError> {
        Ok(Self)
    }
}

impl Adapter for BitFit {
    fn attach(&mut self, layer: &LayerOutline) -> Result<AdapterModule, PluginError> {
        if layer.weights.iter().any(|weight| weight.bias) {
            return Ok(AdapterModule::new(vec![AdapterPart::BiasOnly]));
        }
        Err(PluginError::unsupported(format!("layer {} has no bias that could train", layer.index))
            .with_help("this model family has none: take peft/lora"))
    }
}

impl Checkpoint for BitFit {}
