//! Soft prompt inside a layer: trained positions that the attention of the layer sees beside its context (LLaMA-Adapter,
//! arXiv 2303.16199, section 3): `attended + gate softmax(q (P W_k)ᵀ / √d) (P W_v)`, `P: [length, hidden]` standard normal,
//! `gate: [1]` zero at the start. Parameters: `length hidden + 1` a layer.

use scaleot_plugin_api::{Adapter, AdapterModule, AdapterPart, Checkpoint, LayerOutline, PluginError, Strategy};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `peft/soft-prompt`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SoftPromptOptions {
    /// Trained positions (LLaMA-Adapter: 10).
    #[schemars(range(min = 1, max = 4096))]
    pub length: usize,
}

impl Default for SoftPromptOptions {
    fn default() -> Self {
        Self { length: 10 }
    }
}

/// Positions beside the context train.
pub struct SoftPrompt {
    options: SoftPromptOptions,
}

impl Strategy for SoftPrompt {
    type Options = SoftPromptOptions;
    fn new(options: SoftPromptOptions) -> Result<Self, PluginError> {
        Ok(Self { options })
    }
}

impl Adapter for SoftPrompt {
    fn attach(&mut self, layer: &LayerOutline) -> Result<AdapterModule, PluginError> {
        let part = AdapterPart::SoftPrompt { length: self.options.length };
        if part.fits(layer) {
            return Ok(AdapterModule::new(vec![part]));
        }
        Err(PluginError::unsupported(format!("layer {} has no keys and values of attention", layer.index))
            .with_help("take peft/lora, which needs any projection"))
    }
}

impl Checkpoint for SoftPrompt {}
