//! One decoder with switches, and the Hugging Face folders it comes from and goes to.
//!
//! `ModelConfig` holds the numbers, `Weights` the mapped files, `assemble` makes the `Decoder` of
//! them. What differs between families is data (`families/*.toml`). A decoder runs on a
//! `PackedBatch`: tokens of all sequences one after another, `[tokens, hidden]`, no padding.

#![warn(unreachable_pub)]

mod assemble;
mod attention;
mod config;
mod config_read;
mod config_rope;
mod config_write;
mod decoder;
mod divergence;
mod error;
mod family;
mod folder;
mod head;
mod check_values;
mod layer;
mod leftovers;
mod model;
mod module;
mod names;
mod norm;
mod disassemble;
mod forward_plan;
mod peft_tensor;
mod projection;
mod prompt;
mod rope;
mod rope_scaling;
mod loss;
mod segments;
mod forward;
mod write;
mod write_peft;
mod write_peft_prompt;
mod weights;

pub use config::{ModelConfig, Positions, host_activation};
pub use decoder::{Decoder, Slot};
pub use error::{ModelError, Result};
pub use family::{Family, Fused, LayerModule, PositionKind};
pub use forward::{ForwardRequest, States};
pub use layer::DecoderLayer;
pub use loss::target_rows;
pub use model::Model;
pub use module::ModuleRunner;
pub use names::Names;
pub use norm::Norm;
pub use projection::{Bottleneck, LowRankDelta, Projection};
pub use prompt::SoftPrompt;
pub use rope_scaling::{Rope, RopeScaling};
pub use scaleot_plugin_api::{LayerMask, NormKind, WeightRole};
pub use scaleot_tensor::{Activation, WeightForm};
pub use weights::Weights;
pub use write::{ConfigKeys, write_hf_folder};
pub use write_peft::write_peft_folder;

#[cfg(test)]
mod tests;
