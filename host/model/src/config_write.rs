//! A decoder's numbers → `config.json`, key by key: what an emulator is, and nothing of the file that the model came with.
//!
//! Rule: a key is written because its value is known and bounded here, never because it was found. So no depth, no list with
//! an entry for each original layer, no name and no key of the owner's own leaves.
//! Positions are said as Transformers 5 reads them (`rope_parameters`) and as 4 did, which would take its defaults in silence.

use super::config::{ModelConfig, Positions};
use super::family::{Residual, Switch, Window};
use super::rope_scaling::{Rope, RopeScaling};
use scaleot_tensor::{Activation, Dtype};
use serde_json::{Map, Value, json};

/// Ids that a receiver's generation and training need.
const IDS: [&str; 3] = ["bos_token_id", "eos_token_id", "pad_token_id"];
/// Real lists of end tokens have a handful.
const MAX_IDS: usize = 32;
/// Transformers' default where a Qwen2 config says nothing.
const QWEN2_WINDOW_FROM: u64 = 28;

impl ModelConfig {
    /// `config.json` of a decoder of `layers` layers with these numbers.
    pub fn described(&self, layers: usize, dtype: Dtype) -> Map<String, Value> {
        let mut config = self.named();
        let mut put = |word: &str, value: Value| {
            config.extend(self.family.keys.get(word).map(|key| (key.clone(), value)));
        };
        put("hidden", self.hidden.into());
        put("layers", layers.into());
        put("heads", self.heads.into());
        put("key_value_heads", self.key_value_heads.into());
        put("head_dim", self.head_dim.into());
        put("intermediate", self.intermediate.into());
        put("vocabulary", self.vocabulary.into());
        put("norm_epsilon", self.norm_epsilon.into());
        put("activation", activation_word(self.activation).into());
        put("tied", self.tied.into());
        if let Positions::Rope(rope) = &self.positions {
            put("rope_theta", rope.theta.into());
            if let Some(share) = self.rotary_share(rope) {
                put("rotary_share", share.into());
            }
            config.extend(self.rope(rope));
        }
        config.extend(self.reach());
        config.extend(self.switches());
        config.extend(self.family.equal_to_hidden.iter().map(|key| (key.clone(), self.hidden.into())));
        config.extend(self.family.dropout.iter().map(|key| (key.clone(), json!(0.0))));
        config.extend(self.token_ids(&self.raw));
        // Transformers 5 and 4.
        config.extend(["dtype", "torch_dtype"].map(|key| (key.to_owned(), dtype.config_name().into())));
        config
    }

    /// The ids of special tokens that a JSON object of Transformers names: whole numbers below the vocabulary's size.
    pub fn token_ids(&self, said: &Map<String, Value>) -> Map<String, Value> {
        let is_id = |value: &Value| value.as_u64().is_some_and(|id| id < self.vocabulary as u64);
        let fits = |value: &Value| match value {
            Value::Array(ids) => ids.len() <= MAX_IDS && ids.iter().all(is_id),
            value => value.is_null() || is_id(value),
        };
        let found = IDS.iter().filter_map(|key| Some((*key, said.get(*key).filter(|value| fits(value))?)));
        found.map(|(key, value)| (key.to_owned(), value.clone())).collect()
    }

    /// The type that was read, and its class; the family's first where Transformers has no class of that type.
    fn named(&self) -> Map<String, Value> {
        let family = self.family;
        let pairs: Vec<_> = family.model_types.iter().zip(&family.architectures).collect();
        let said = |key: &str| self.raw.get(key).and_then(|value| value.as_str().or_else(|| value.get(0)?.as_str()));
        let by = |key: &str, of: fn(&(&String, &String)) -> String| {
            pairs.iter().find(|pair| Some(of(pair).as_str()) == said(key))
        };
        let found = by("model_type", |pair| pair.0.clone()).or_else(|| by("architectures", |pair| pair.1.clone()));
        let Some((model_type, class)) = found.or(pairs.first()) else { return Map::new() };
        Map::from_iter([("model_type".to_owned(), json!(model_type)), ("architectures".to_owned(), json!([class]))])
    }

    /// The reach of attention: the context, and the window where one stands for all layers.
    ///
    /// The layers that have a window, where only some do, tell where they stood. Then the context ends at the window, within
    /// which all layers see everything: the emulator runs no further here either.
    fn reach(&self) -> Map<String, Value> {
        let mut reach = Map::new();
        let key = self.family.keys.get("context");
        let Some(window) = self.family.window.as_ref().filter(|window| window.is_of(&self.raw)) else {
            reach.extend(key.map(|key| (key.clone(), self.context.into())));
            return reach;
        };
        let length = self.window_of_all_layers(window);
        let context = match length {
            // Every layer's window goes along, so the context is the model's own.
            Some(_) => key.and_then(|key| self.raw.get(key)?.as_u64()).unwrap_or(self.context as u64),
            None => self.context as u64,
        };
        reach.extend(key.map(|key| (key.clone(), context.into())));
        // Null where there is none: a key that is absent means a window of the usual length.
        reach.insert(window.key.clone(), length.into());
        reach.extend(window.switch.iter().map(|switch| (switch.clone(), length.is_some().into())));
        reach.extend(window.from.iter().filter(|_| length.is_some()).map(|from| (from.clone(), 0.into())));
        reach
    }

    /// The length of the window, where one stands for all layers.
    fn window_of_all_layers(&self, window: &Window) -> Option<u64> {
        let length = match self.raw.get(&window.key) {
            None => window.default as u64,
            Some(value) => value.as_u64()?,
        };
        let Some(switch) = &window.switch else { return Some(length) };
        let from = window.from.as_ref().and_then(|key| self.raw.get(key)?.as_u64());
        let all = match self.raw.get("layer_types").and_then(Value::as_array) {
            Some(types) => types.iter().all(|kind| kind == "sliding_attention"),
            None => from.unwrap_or(QWEN2_WINDOW_FROM) == 0,
        };
        (all && self.raw.get(switch) == Some(&Value::Bool(true))).then_some(length)
    }

    /// Keys for the projections with a bias, and for the way in which the halves of a layer meet.
    fn switches(&self) -> Map<String, Value> {
        let mut switches = Map::new();
        for module in &self.family.layer {
            let has_bias = module.roles.iter().any(|role| self.biases.contains(role));
            if let Switch::Key { key, .. } = &module.bias {
                switches.insert(key.clone(), has_bias.into());
            }
        }
        if let Residual::Key { key, .. } = &self.family.residual {
            switches.insert(key.clone(), self.parallel_residual.into());
        }
        switches
    }

    /// The share of a head that turns, such that the reader's product, cut off to a whole number, is the same again; none where
    /// whole heads turn and the family reads no share.
    fn rotary_share(&self, rope: &Rope) -> Option<f64> {
        let (part, whole) = match rope.scaling {
            RopeScaling::Proportional { turning, .. } => (turning, rope.dims as f64 / 2.0),
            _ if self.family.partial_rotary => (rope.width, self.head_dim as f64),
            _ => return None,
        };
        let share = part as f64 / whole;
        Some(if ((whole * share) as usize) < part { share.next_up() } else { share })
    }

    fn rope(&self, rope: &Rope) -> Map<String, Value> {
        let scaling = scaling(rope);
        let mut parameters =
            scaling.clone().unwrap_or_else(|| Map::from_iter([("rope_type".into(), "default".into())]));
        parameters.insert("rope_theta".into(), rope.theta.into());
        if let Some(share) = self.rotary_share(rope) {
            parameters.insert("partial_rotary_factor".into(), share.into());
        }
        // Version 5 reads `rope_scaling` first where both are there, and takes what it lacks from the keys beside it.
        let mut keys = Map::new();
        keys.insert("rope_parameters".into(), parameters.into());
        keys.insert("rope_scaling".into(), scaling.map_or(Value::Null, Value::from));
        keys
    }
}

/// The rescaling alone, as Transformers 4 has it; nothing where frequencies are as they were.
fn scaling(rope: &Rope) -> Option<Map<String, Value>> {
    let factor_of_attention = rope.attention_factor;
    let scaling = match &rope.scaling {
        RopeScaling::None => return None,
        RopeScaling::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
        RopeScaling::Llama3 { factor, low, high, original_context } => json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low,
            "high_freq_factor": high,
            // A whole number in every config, and Transformers insists on one.
            "original_max_position_embeddings": *original_context as u64,
        }),
        RopeScaling::Yarn { factor, ramp } => json!({
            "rope_type": "yarn",
            "factor": factor,
            "attention_factor": factor_of_attention,
            "beta_fast": ramp.beta_fast,
            "beta_slow": ramp.beta_slow,
            "truncate": ramp.truncate,
            "original_max_position_embeddings": ramp.original_context as u64,
        }),
        RopeScaling::LongRope { factors, original_context } => json!({
            "rope_type": "longrope",
            "attention_factor": factor_of_attention,
            "short_factor": factors,
            // For sequences beyond the context, which nothing runs here.
            "long_factor": factors,
            "original_max_position_embeddings": *original_context as u64,
        }),
        RopeScaling::Proportional { factor, .. } => json!({ "rope_type": "proportional", "factor": factor }),
    };
    scaling.as_object().cloned()
}

/// The word of a Transformers config.
fn activation_word(activation: Activation) -> &'static str {
    match activation {
        Activation::Relu => "relu",
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_new",
        Activation::Silu => "silu",
        Activation::Tanh => "tanh",
    }
}
