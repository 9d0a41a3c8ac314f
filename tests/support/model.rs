//! Small models made on the spot: the golden folders have two layers, a run needs more.

use super::repository;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// Writes a golden model with its two layers repeated until there are `layers`, and a tokenizer of 128 characters.
pub fn deepened(golden: &str, layers: usize, to: &Path) {
    deepened_with(golden, layers, to, &json!({}));
}

/// As [`deepened`], with keys laid over the config's.
pub fn deepened_with(golden: &str, layers: usize, to: &Path, over: &Value) {
    let from = repository().join("tests/golden").join(golden);
    fs::create_dir_all(to).expect("a model folder");
    let mut config: Map<String, Value> =
        serde_json::from_slice(&fs::read(from.join("config.json")).expect("a config")).expect("JSON");
    for key in ["num_hidden_layers", "n_layer"] {
        if let Some(count) = config.get_mut(key) {
            *count = json!(layers);
        }
    }
    if let Some(Value::Array(types)) = config.get_mut("layer_types") {
        let first = types[0].clone();
        *types = vec![first; layers];
    }
    config.extend(over.as_object().expect("keys").clone());
    fs::write(to.join("config.json"), Value::Object(config).to_string()).expect("a config");
    let bytes = fs::read(from.join("model.safetensors")).expect("weights");
    fs::write(to.join("model.safetensors"), repeated(&bytes, layers)).expect("weights");
    fs::write(to.join("tokenizer.json"), tokenizer().to_string()).expect("a tokenizer");
}

/// Layer `i` of the new file is layer `i % 2` of the old one.
fn repeated(bytes: &[u8], layers: usize) -> Vec<u8> {
    let file = SafeTensors::deserialize(bytes).expect("safetensors");
    let mut tensors: Vec<(String, TensorView<'_>)> = Vec::new();
    for (name, view) in file.tensors() {
        assert_eq!(view.dtype(), Dtype::F32);
        match layer_of(&name) {
            None => tensors.push((name, view)),
            Some((before, layer, after)) => {
                let copies = (0..layers).filter(|copy| copy % 2 == layer);
                let data = file.tensor(&name).expect("the tensor");
                tensors.extend(copies.map(|copy| {
                    let view = TensorView::new(Dtype::F32, data.shape().to_vec(), data.data()).expect("a view");
                    (format!("{before}.{copy}.{after}"), view)
                }));
            }
        }
    }
    safetensors::serialize(tensors, None).expect("safetensors")
}

/// `model.layers.1.mlp.weight` -> (`model.layers`, 1, `mlp.weight`).
fn layer_of(name: &str) -> Option<(String, usize, String)> {
    let parts: Vec<&str> = name.split('.').collect();
    let at = parts.iter().position(|part| part.parse::<usize>().is_ok())?;
    Some((parts[..at].join("."), parts[at].parse().ok()?, parts[at + 1..].join(".")))
}

/// One token for each of the 128 ASCII characters.
pub fn tokenizer() -> Value {
    let vocabulary: Map<String, Value> = (0..128_u8).map(|code| (char::from(code).to_string(), json!(code))).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": { "type": "Fuse" },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": "\u{0}", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": [],
        },
    })
}
