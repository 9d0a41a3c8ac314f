//! Model families as data: where each says its numbers, and what it calls its tensors.
//!
//! A family is one file in `families/`; nothing else in the program knows a family by name.
//! Tensor names are `prefix + layer + module + (".weight" | ".bias")`. A module holds one role, or
//! several fused: `rows` = all of the first role, then all of the second; `heads` = head by head.

use super::error::{ModelError, Result};
use scaleot_plugin_api::{NormKind, WeightRole};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// One line per family file.
const SOURCES: [(&str, &str); 5] = [
    ("llama", include_str!("families/llama.toml")),
    ("qwen2", include_str!("families/qwen2.toml")),
    ("gpt2", include_str!("families/gpt2.toml")),
    ("opt", include_str!("families/opt.toml")),
    ("gpt_neox", include_str!("families/gpt_neox.toml")),
];

/// The way in which a family tells tokens apart by place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PositionKind {
    /// Queries and keys are rotated.
    Rope,
    /// A table is added to the embedding.
    Learned,
}

/// The layout of several roles in one tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fused {
    /// All rows of the first role, then all rows of the next.
    Rows,
    /// The first head of every role, then the second head of every role.
    Heads,
}

/// A yes or no, fixed by the family or said by a key of `config.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Switch {
    Fixed(bool),
    Key { key: String, default: bool },
}

impl Default for Switch {
    fn default() -> Self {
        Switch::Fixed(false)
    }
}

/// The way in which the two halves of a layer meet the residual stream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Residual {
    /// Always `"sequential"`.
    Named(String),
    /// A key that says whether it is parallel.
    Key { key: String, default: bool },
}

/// Attention that sees only so many tokens back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The model types of the family that have it; the others do not read the key.
    pub model_types: Vec<String>,
    pub key: String,
    /// The length where the key is absent; null says that there is no window.
    pub default: usize,
    /// A key that must be true for the window to count.
    #[serde(default)]
    pub switch: Option<String>,
    /// A key that names the first layer that has the window; the layers before see everything.
    #[serde(default)]
    pub from: Option<String>,
}

impl Window {
    /// True if a config's model type has the window; a type that is not named is that of the `architectures`.
    pub(crate) fn is_of(&self, config: &serde_json::Map<String, serde_json::Value>) -> bool {
        let named = config.get("model_type").and_then(serde_json::Value::as_str);
        named.is_none_or(|named| self.model_types.iter().any(|name| name == named))
    }
}

/// One module of a layer: a norm, a projection, or several projections in one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerModule {
    pub module: String,
    pub roles: Vec<WeightRole>,
    #[serde(default)]
    pub bias: Switch,
    #[serde(default)]
    pub fused: Option<Fused>,
    /// Stored `[in, out]` (GPT-2's Conv1D).
    #[serde(default)]
    pub transposed: bool,
}

/// The tensors outside the layers, and the frame of the names inside.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorNames {
    /// Tried in this order; published files differ.
    pub prefixes: Vec<String>,
    pub embedding: String,
    #[serde(default)]
    pub positions: Option<String>,
    pub final_norm: String,
    pub head: String,
    pub layer: String,
}

/// Values for keys on which `config.json` is silent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    pub norm_epsilon: f64,
    pub activation: String,
    pub tied: bool,
    pub rope_theta: Option<f64>,
    pub rotary_share: Option<f64>,
    pub intermediate_per_hidden: Option<usize>,
}

/// Everything the program knows of a family.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    pub name: String,
    pub model_types: Vec<String>,
    /// Classes of Transformers, in the order of `model_types`; types without a class stand last.
    pub architectures: Vec<String>,
    pub norm: NormKind,
    pub positions: PositionKind,
    /// True if rotary positions may turn a part of each head; elsewhere they turn all of it.
    #[serde(default)]
    pub partial_rotary: bool,
    /// Row of the position table that position 0 uses.
    #[serde(default)]
    pub position_offset: usize,
    pub residual: Residual,
    #[serde(default)]
    pub window: Option<Window>,
    /// Keys of `config.json` that must equal the hidden size if present.
    #[serde(default)]
    pub equal_to_hidden: Vec<String>,
    /// Our word for a number, and the key of `config.json` that holds it.
    pub keys: BTreeMap<String, String>,
    pub defaults: Defaults,
    /// Keys that must have this value if present: variants of the family that are not supported.
    #[serde(default)]
    pub required: BTreeMap<String, bool>,
    /// Rates that a written config sets to 0: nothing is dropped out here.
    #[serde(default)]
    pub dropout: Vec<String>,
    pub tensors: TensorNames,
    pub layer: Vec<LayerModule>,
}

impl Family {
    /// All families.
    ///
    /// # Errors
    /// A fault of a family file, which a test excludes.
    pub fn all() -> Result<&'static [Family]> {
        static FAMILIES: OnceLock<std::result::Result<Vec<Family>, String>> = OnceLock::new();
        let parsed = FAMILIES.get_or_init(|| {
            SOURCES.iter().map(|(name, text)| toml::from_str(text).map_err(|e| format!("{name}: {e}"))).collect()
        });
        match parsed {
            Ok(families) => Ok(families),
            Err(message) => Err(ModelError::FamilyFile { message: message.clone() }),
        }
    }

    /// The family of a `model_type` or of one of the `architectures`.
    ///
    /// # Errors
    /// As [`Self::all`].
    pub fn find(model_type: &str, architectures: &[String]) -> Result<Option<&'static Family>> {
        Ok(Family::all()?.iter().find(|family| {
            family.model_types.iter().any(|t| t == model_type)
                || (model_type.is_empty() && architectures.iter().any(|a| family.architectures.contains(a)))
        }))
    }

    /// Every `model_type` that is understood, for messages.
    ///
    /// # Errors
    /// As [`Self::all`].
    pub fn known() -> Result<Vec<&'static str>> {
        let types = Family::all()?.iter().flat_map(|f| f.model_types.iter().map(String::as_str));
        Ok(types.collect())
    }

    /// True if the feed-forward part has a gate.
    pub fn is_gated(&self) -> bool {
        self.layer.iter().any(|m| m.roles.contains(&WeightRole::MlpGate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_file_is_whole() {
        for family in Family::all().unwrap() {
            let mut roles: Vec<_> = family.layer.iter().flat_map(|m| m.roles.clone()).collect();
            roles.sort_unstable();
            let wanted = if family.is_gated() { 9 } else { 8 };
            roles.dedup();
            assert_eq!(roles.len(), wanted, "{}: every role once", family.name);
            for module in &family.layer {
                assert_eq!(module.fused.is_some(), module.roles.len() > 1, "{}", module.module);
            }
            for key in ["hidden", "layers", "heads", "intermediate", "vocabulary", "context"] {
                assert!(family.keys.contains_key(key), "{}: {key}", family.name);
            }
            let learned = family.positions == PositionKind::Learned;
            assert_eq!(family.tensors.positions.is_some(), learned, "{}", family.name);
            assert_eq!(family.defaults.rope_theta.is_none(), learned, "{}", family.name);
            assert!(family.tensors.layer.contains("{layer}"), "{}", family.name);
        }
    }
}
