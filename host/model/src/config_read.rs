//! `config.json` of Transformers 4 and 5 → `ModelConfig`, every key checked before use.
//!
//! Upstream files carry many keys that do not concern us: unknown ones are left alone, unlike in our
//! own files.

use super::config::{ModelConfig, Positions, activation_from_config};
use super::error::{ModelError, Result};
use super::family::{Family, Residual, Switch};
use super::folder;
use scaleot_plugin_api::WeightRole;
use scaleot_store::foreign_json;
use scaleot_tensor::Activation;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::Path;

/// A real one has a few kilobytes.
const MAX_BYTES: u64 = 16 << 20;
/// The key that names a weight file (`transformers_explicit_filename` in Transformers 5).
const WEIGHTS_NAME: &str = "transformers_weights";
const MAX_LAYERS: usize = 4096;
/// Wider than any published model; keeps every product of two sizes within 64 bits.
const MAX_WIDTH: usize = 1 << 24;

/// The file while it is being read: where it is, what it says, whose words it uses.
pub(super) struct Source<'a> {
    pub path: &'a Path,
    pub raw: &'a Map<String, Value>,
    pub family: &'static Family,
}

impl ModelConfig {
    /// Reads and checks `config.json` in a model folder.
    ///
    /// # Errors
    /// A file that cannot be read, a family that is not known, or a key without a meaning here.
    pub fn read(folder: &Path) -> Result<ModelConfig> {
        folder::check_folder(folder)?;
        folder::check_has_config(folder)?;
        let path = folder.join("config.json");
        let text = folder::read_small(&path, MAX_BYTES)?;
        let raw = folder::json_object(&path, &text)?;
        let family = find_family(&path, &raw)?;
        let source = Source { path: &path, raw: &raw, family };
        source.check_supported()?;
        let (config, weights_name) = (source.config()?, source.weights_name()?);
        let mut raw = raw;
        // A folder that is written has its weights under the usual name.
        raw.remove(WEIGHTS_NAME);
        Ok(ModelConfig { raw, path, weights_name, ..config })
    }
}

fn find_family(path: &Path, raw: &Map<String, Value>) -> Result<&'static Family> {
    let model_type = raw.get("model_type").and_then(Value::as_str).unwrap_or_default();
    let architectures: Vec<String> = raw
        .get("architectures")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    if let Some(family) = Family::find(model_type, &architectures)? {
        return Ok(family);
    }
    let found = match raw.get("model_type") {
        Some(value) => display_value(value),
        None if architectures.is_empty() => "missing".to_owned(),
        None => format!("missing (and `architectures` is {})", display_value(&Value::from(architectures))),
    };
    let known = Family::known()?.join(", ");
    Err(ModelError::UnknownArchitecture { path: path.to_owned(), found, known })
}

/// A foreign value for a message: escaped by JSON itself, and short.
fn display_value(value: &Value) -> String {
    let text = foreign_json::special_number(value).map_or_else(|| value.to_string(), str::to_owned);
    if text.chars().count() <= 80 {
        return text;
    }
    text.chars().take(80).chain("…".chars()).collect()
}

impl Source<'_> {
    pub(super) fn wrong(&self, key: &str, value: Option<&Value>, expected: impl Into<String>) -> ModelError {
        let found = value.map_or_else(|| "missing".to_owned(), display_value);
        let (path, key) = (self.path.to_owned(), key.to_owned());
        ModelError::ConfigKey { path, key, found, expected: expected.into() }
    }

    /// The key of `config.json` for our word, and its value unless absent or null.
    pub(super) fn lookup(&self, word: &str) -> Option<(&str, &Value)> {
        let key = self.family.keys.get(word)?;
        self.raw.get(key).filter(|v| !v.is_null()).map(|v| (key.as_str(), v))
    }

    fn optional_size(&self, word: &str, limit: usize) -> Result<Option<usize>> {
        let Some((key, value)) = self.lookup(word) else { return Ok(None) };
        self.whole(key, value, limit).map(Some)
    }

    fn whole(&self, key: &str, value: &Value, limit: usize) -> Result<usize> {
        let number = value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=limit).contains(n));
        number.ok_or_else(|| self.wrong(key, Some(value), format!("a whole number from 1 to {limit}")))
    }

    fn size(&self, word: &str, limit: usize) -> Result<usize> {
        self.optional_size(word, limit)?.ok_or_else(|| {
            let key = self.family.keys.get(word).map_or(word, String::as_str);
            self.wrong(key, self.raw.get(key), format!("a whole number from 1 to {limit}"))
        })
    }

    pub(super) fn positive(&self, key: &str, value: &Value) -> Result<f64> {
        value
            .as_f64()
            .filter(|n| n.is_finite() && *n > 0.0)
            .ok_or_else(|| self.wrong(key, Some(value), "a finite number above 0"))
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.raw.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(value) => Err(self.wrong(key, Some(value), "true or false")),
        }
    }

    /// Variants that would compute something else than we do are refused, not approximated.
    fn check_supported(&self) -> Result<()> {
        for key in ["quantization_config", "compression_config"] {
            if let Some(value) = self.raw.get(key).filter(|value| !value.is_null()) {
                // The method alone: the rest is long.
                let method = value.get("quant_method").unwrap_or(value);
                return Err(ModelError::ConfigQuantised {
                    path: self.path.to_owned(),
                    key,
                    found: display_value(method),
                });
            }
        }
        for (key, &wanted) in &self.family.required {
            if self.flag(key, wanted)? != wanted {
                return Err(self.wrong(
                    key,
                    self.raw.get(key),
                    format!("{wanted}; the other variant is not supported"),
                ));
            }
        }
        let hidden = self.size("hidden", MAX_WIDTH)?;
        for key in &self.family.equal_to_hidden {
            let value = self.raw.get(key).filter(|v| !v.is_null());
            if value.is_some_and(|v| v.as_u64() != Some(hidden as u64)) {
                return Err(self.wrong(key, value, format!("{hidden}, the hidden size")));
            }
        }
        Ok(())
    }

    /// The weight file that the config names, where it does.
    fn weights_name(&self) -> Result<Option<String>> {
        let Some(value) = self.raw.get(WEIGHTS_NAME).filter(|value| !value.is_null()) else { return Ok(None) };
        let ends = |name: &&str| name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
        match value.as_str().filter(ends).filter(|name| folder::is_plain_name(name)) {
            Some(name) => Ok(Some(name.to_owned())),
            None => {
                let expected = "the plain name of a file that ends in .safetensors or .safetensors.index.json";
                Err(self.wrong(WEIGHTS_NAME, Some(value), expected))
            }
        }
    }

    fn config(&self) -> Result<ModelConfig> {
        let (family, defaults) = (self.family, &self.family.defaults);
        let hidden = self.size("hidden", MAX_WIDTH)?;
        let heads = self.size("heads", hidden)?;
        let key_value_heads = self.optional_size("key_value_heads", hidden)?.unwrap_or(heads);
        let head_dim = self.head_dim(hidden, heads)?;
        self.check_divides("key_value_heads", key_value_heads, "heads", heads)?;
        let intermediate = match defaults.intermediate_per_hidden {
            Some(factor) => self.optional_size("intermediate", MAX_WIDTH)?.unwrap_or(factor * hidden),
            None => self.size("intermediate", MAX_WIDTH)?,
        };
        let norm_epsilon = match self.lookup("norm_epsilon") {
            Some((key, value)) => self.positive(key, value)?,
            None => defaults.norm_epsilon,
        };
        let positions = self.positions(head_dim)?;
        let longest = match &positions {
            Positions::Rope(rope) => rope.longest().unwrap_or(usize::MAX),
            Positions::Learned { .. } => usize::MAX,
        };
        let tied = self.flag(family.keys.get("tied").map_or("", String::as_str), defaults.tied)?;
        Ok(ModelConfig {
            family,
            hidden,
            layers: self.size("layers", MAX_LAYERS)?,
            heads,
            key_value_heads,
            head_dim,
            intermediate,
            vocabulary: self.size("vocabulary", MAX_WIDTH)?,
            context: self.context()?.min(longest),
            norm_epsilon,
            activation: self.activation()?,
            positions,
            parallel_residual: self.parallel_residual()?,
            tied,
            biases: self.biases()?,
            raw: Map::new(),
            path: self.path.to_owned(),
            weights_name: None,
        })
    }

    /// The width of a head: said outright, or the hidden size shared out among the heads.
    fn head_dim(&self, hidden: usize, heads: usize) -> Result<usize> {
        // All heads together are a width as well.
        if let Some(head_dim) = self.optional_size("head_dim", MAX_WIDTH / heads)? {
            return Ok(head_dim);
        }
        self.check_divides("heads", heads, "hidden", hidden)?;
        let head_dim = hidden / heads;
        // Transformers would turn a part of this width and attend with the other.
        let said = self.raw.get("head_dim").filter(|value| !value.is_null());
        if said.is_some_and(|value| value.as_u64() != Some(head_dim as u64)) {
            return Err(self.wrong(
                "head_dim",
                said,
                format!("{head_dim}, the hidden size shared out among the heads"),
            ));
        }
        Ok(head_dim)
    }

    fn check_divides(&self, word: &str, value: usize, other: &str, other_value: usize) -> Result<()> {
        if other_value.is_multiple_of(value) {
            return Ok(());
        }
        let key = |word: &str| self.family.keys.get(word).cloned().unwrap_or_else(|| word.to_owned());
        Err(ModelError::ConfigPair {
            path: self.path.to_owned(),
            key: key(word),
            value,
            other: key(other),
            other_value,
            rule: "the first to divide the second",
        })
    }

    /// Within the attention window full attention is exact; beyond it we would compute another model.
    fn context(&self) -> Result<usize> {
        let context = self.size("context", MAX_WIDTH)?;
        let Some(window) = self.family.window.as_ref().filter(|window| window.is_of(self.raw)) else {
            return Ok(context);
        };
        let on = match &window.switch {
            Some(key) => self.flag(key, false)?,
            None => true,
        };
        let length = match self.raw.get(&window.key) {
            _ if !on => None,
            None => Some(window.default),
            Some(Value::Null) => None,
            Some(value) => Some(self.whole(&window.key, value, MAX_WIDTH)?),
        };
        Ok(length.map_or(context, |length| length.min(context)))
    }

    fn activation(&self) -> Result<Activation> {
        const EXPECTED: &str = "one of relu, gelu, gelu_new, gelu_pytorch_tanh, silu, tanh";
        let Some((key, value)) = self.lookup("activation") else {
            let default = &self.family.defaults.activation;
            return activation_from_config(default).ok_or_else(|| self.wrong("activation", None, EXPECTED));
        };
        value.as_str().and_then(activation_from_config).ok_or_else(|| self.wrong(key, Some(value), EXPECTED))
    }

    fn parallel_residual(&self) -> Result<bool> {
        match &self.family.residual {
            Residual::Named(name) => Ok(name == "parallel"),
            Residual::Key { key, default } => self.flag(key, *default),
        }
    }

    fn biases(&self) -> Result<BTreeSet<WeightRole>> {
        let mut biases = BTreeSet::new();
        for module in &self.family.layer {
            let wanted = match &module.bias {
                Switch::Fixed(wanted) => *wanted,
                Switch::Key { key, default } => self.flag(key, *default)?,
            };
            if wanted {
                biases.extend(module.roles.iter().copied());
            }
        }
        Ok(biases)
    }
}
