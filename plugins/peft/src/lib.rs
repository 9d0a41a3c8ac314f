//! Parameter-efficient adapters inside the adapter layers, as a dynamic library.
//!
//! `lora` (Hu et al. 2021, arXiv 2106.09685), `bottleneck` (Houlsby et al. 2019, arXiv 1902.00751), `bit-fit` (Ben Zaken et al. 2021,
//! arXiv 2106.10199), `soft-prompt` (LLaMA-Adapter, Zhang et al. 2023, arXiv 2303.16199), with the settings of Offsite-Tuning's own runs. Instead of whole layers, only these return to the owner.

mod bit_fit;
mod bottleneck;
mod lora;
mod soft_prompt;

pub use bit_fit::BitFit;
pub use bottleneck::{Bottleneck, BottleneckOptions};
pub use lora::{Lora, LoraOptions, Modules};
pub use soft_prompt::{SoftPrompt, SoftPromptOptions};

/// For strategies that have nothing to set.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NoOptions {}

scaleot_plugin_api::export_plugin! {
    name: "peft",
    about: "Parameter-efficient adapters: LoRA, arXiv 2106.09685; bottlenecks, arXiv 1902.00751; BitFit, arXiv 2106.10199; soft prompts, arXiv 2303.16199.",
    strategies: {
        "lora": adapter Lora, "A low-rank delta beside each projection trains.";
        "bottleneck": adapter Bottleneck, "A small network behind attention and feed-forward part trains.";
        "bit-fit": adapter BitFit, "The layer's biases train.";
        "soft-prompt": adapter SoftPrompt, "Positions that the layer's attention sees beside its context train.";
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn conforms() {
        scaleot_plugin_conformance::check_plugin(super::scaleot_root_module());
    }
}
