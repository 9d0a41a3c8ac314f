//! Bottleneck adapters: `y + up act(down y)` on the output of the attention and of the feed-forward part, `down: [size, hidden]`
//! random, `up: [hidden, size]` zero at the start. Parameters: `4 size hidden` a layer.

use scaleot_plugin_api::{
    Activation, Adapter, AdapterModule, AdapterPart, Checkpoint, LayerOutline, PluginError, Strategy, WeightRole,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `peft/bottleneck`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BottleneckOptions {
    /// Width inside (Offsite-Tuning: 64).
    #[schemars(range(min = 1, max = 65_536))]
    pub size: usize,
    /// The nonlinearity between down and up.
    pub activation: Activation,
}

impl Default for BottleneckOptions {
    fn default() -> Self {
        Self { size: 64, activation: Activation::Relu }
    }
}

/// Small networks behind both parts of a layer train.
pub struct Bottleneck {
    options: BottleneckOptions,
}

impl Strategy for Bottleneck {
    type Options = BottleneckOptions;
    fn new(options: BottleneckOptions) -> Result<Self, PluginError> {
        Ok(Self { options })
    }
}

impl Adapter for Bottleneck {
    fn attach(&mut self, layer: &LayerOutline) -> Result<AdapterModule, PluginError> {
        let BottleneckOptions { size, activation } = self.options;
        let roles =
            [WeightRole::AttentionO, WeightRole::MlpDown].into_iter().filter(|role| layer.weight(*role).is_some());
        Ok(AdapterModule::new(roles.map(|role| AdapterPart::Bottleneck { role, size, activation }).collect()))
    }
}

impl Checkpoint for Bottleneck {}
