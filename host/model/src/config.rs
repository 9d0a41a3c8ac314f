//! The numbers of a model, as every part of the program uses them.
//!
//! Read from a `config.json` of Transformers 4 or 5 by `config_read`; after that nothing is optional.

use super::error::{ModelError, Result};
use super::family::Family;
use super::rope_scaling::Rope;
use scaleot_plugin_api::{NormKind, WeightRole};
use scaleot_tensor::Activation;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The function of a Transformers config's word; `None` if it is another one.
pub(crate) fn activation_from_config(name: &str) -> Option<Activation> {
    match name {
        "relu" => Some(Activation::Relu),
        "gelu" => Some(Activation::Gelu),
        "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Some(Activation::GeluTanh),
        "silu" | "swish" => Some(Activation::Silu),
        "tanh" => Some(Activation::Tanh),
        _ => None,
    }
}

/// The function that a plugin names.
///
/// # Errors
/// A function of a newer contract.
pub fn host_activation(activation: scaleot_plugin_api::Activation) -> Result<Activation> {
    match activation {
        scaleot_plugin_api::Activation::Relu => Ok(Activation::Relu),
        scaleot_plugin_api::Activation::Gelu => Ok(Activation::Gelu),
        scaleot_plugin_api::Activation::Silu => Ok(Activation::Silu),
        scaleot_plugin_api::Activation::Tanh => Ok(Activation::Tanh),
        other => Err(ModelError::unknown_part(&other)),
    }
}

/// The way in which positions enter the model.
#[derive(Debug, Clone, PartialEq)]
pub enum Positions {
    /// Queries and keys are rotated by angles that grow with the position.
    Rope(Rope),
    /// Row `position + offset` of a table is added to the embedding.
    Learned { offset: usize },
}

/// A decoder's numbers. Counts are never zero, `heads` is a multiple of `key_value_heads`.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    pub family: &'static Family,
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    pub key_value_heads: usize,
    pub head_dim: usize,
    pub intermediate: usize,
    pub vocabulary: usize,
    /// Positions that may be used: the trained context, or the attention window if that is shorter.
    pub context: usize,
    pub norm_epsilon: f64,
    pub activation: Activation,
    pub positions: Positions,
    pub parallel_residual: bool,
    /// True if the head is the embedding.
    pub tied: bool,
    /// The projections that have a bias.
    pub biases: BTreeSet<WeightRole>,
    /// `config.json` as it was, so that a written folder says all that was said.
    pub raw: serde_json::Map<String, serde_json::Value>,
    /// The folder from which it was read, for messages.
    pub path: PathBuf,
    /// The weight file that it names; else the usual ones are looked for.
    pub weights_name: Option<String>,
}

impl ModelConfig {
    /// The shape `[out, in]` of a projection, `[hidden]` of a norm.
    pub fn shape(&self, role: WeightRole) -> Vec<i64> {
        let hidden = self.hidden as i64;
        let queries = (self.heads * self.head_dim) as i64;
        let keys = (self.key_value_heads * self.head_dim) as i64;
        let intermediate = self.intermediate as i64;
        match role {
            WeightRole::AttentionQ => vec![queries, hidden],
            WeightRole::AttentionK | WeightRole::AttentionV => vec![keys, hidden],
            WeightRole::AttentionO => vec![hidden, queries],
            WeightRole::MlpUp | WeightRole::MlpGate => vec![intermediate, hidden],
            WeightRole::MlpDown => vec![hidden, intermediate],
            // Norms, and whatever a layer of today does not have.
            _ => vec![hidden],
        }
    }

    /// True if a role exists and has a bias. Layer norms always do, RMS norms never.
    pub fn has_bias(&self, role: WeightRole) -> bool {
        match role {
            WeightRole::NormAttention | WeightRole::NormMlp => self.family.norm == NormKind::Layer,
            _ => self.biases.contains(&role),
        }
    }

    /// The key of `config.json` for one of our words, for messages.
    pub fn key(&self, word: &str) -> String {
        self.family.keys.get(word).cloned().unwrap_or_else(|| word.to_owned())
    }
}
