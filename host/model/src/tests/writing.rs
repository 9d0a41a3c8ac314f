//! A written folder read back is the same model, bit for bit.

use super::{FAMILIES, golden_model, load};
use crate::{ConfigKeys, Decoder, ModelConfig, Positions, Rope, Slot, write_hf_folder};
use scaleot_data::PackedBatch;
use scaleot_plugin_api::Module;
use scaleot_tensor::Dtype;
use serde_json::{Value, json};

fn logits(decoder: &Decoder, ids: &[i64]) -> Vec<u32> {
    let batch = PackedBatch::causal([ids]);
    let rows: Vec<usize> = (0..ids.len()).collect();
    let logits = decoder.logits(&batch, &rows).unwrap().to_vec_f32().unwrap();
    logits.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn whole_and_in_shards() {
    let others = [
        "mistral",
        "llama-untied-sharded",
        "llama-biases-head-dim",
        "llama-rope-llama3",
        "llama-rope-llama3-v4",
        "gpt2-bare-names",
        "gpt_neox-v4-config",
        "qwen2-tied-v4",
    ];
    for family in FAMILIES.into_iter().chain(others) {
        let (model, ids) = golden_model(family);
        for (shard_bytes, keys) in [(None, ConfigKeys::Described), (Some(10_000), ConfigKeys::Owners)] {
            let folder = tempfile::tempdir().unwrap();
            write_hf_folder(&model.decoder, folder.path(), keys, shard_bytes).unwrap();
            assert_eq!(folder.path().join("model.safetensors.index.json").exists(), shard_bytes.is_some());
            let again = load(folder.path());
            for ((name, a), (again, b)) in
                model.decoder.named_tensors().unwrap().iter().zip(again.decoder.named_tensors().unwrap())
            {
                assert_eq!(*name, again);
                assert_eq!((a.shape(), a.dtype()), (b.shape(), b.dtype()), "{family}: {name}");
                assert!(a.to_vec_f32().unwrap() == b.to_vec_f32().unwrap(), "{family}: {name}");
            }
            assert_eq!(logits(&model.decoder, &ids[0]), logits(&again.decoder, &ids[0]), "{family}");
        }
    }
}

#[test]
fn dropped_layers_are_numbered_anew() {
    let folder = super::tests_folder().join("fixtures/ci-model");
    let mut decoder = load(&folder).decoder;
    for slot in [2, 3, 6] {
        decoder.set(slot, Slot::Module(Module::Identity)).unwrap();
    }
    let ids = [50i64, 324, 70, 371, 275];
    let written = tempfile::tempdir().unwrap();
    write_hf_folder(&decoder, written.path(), ConfigKeys::Owners, None).unwrap();
    let again = load(written.path()).decoder;
    assert_eq!(again.slots.len(), 5);
    assert_eq!(logits(&decoder, &ids), logits(&again, &ids));
}

#[test]
fn modules_have_no_place_in_a_folder() {
    let (model, _) = golden_model("llama");
    let mut decoder = model.decoder;
    decoder.set(1, Slot::Module(Module::SharedWith { layer: 0 })).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = write_hf_folder(&decoder, folder.path(), ConfigKeys::Owners, None).unwrap_err().to_string();
    assert_eq!(
        error,
        "layer 1: a module, expected a decoder layer or nothing: other modules have no place in a Transformers folder"
    );
}

/// A golden model's config with other keys laid over it, as a folder with nothing else in it.
fn described(golden: &str, over: Value) -> Value {
    let path = super::tests_folder().join("golden").join(golden).join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    config.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    Value::Object(ModelConfig::read(folder.path()).unwrap().described(5, Dtype::BF16))
}

fn without_null(config: &Value) -> Value {
    config
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

#[test]
fn a_described_config_says_what_the_numbers_are_and_nothing_else() {
    // Keys and words of Transformers 5.23's own configuration classes; values are those of the golden config.
    let gpt2 = json!({
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "dtype": "bfloat16", "torch_dtype": "bfloat16",
        "n_embd": 32, "n_layer": 5, "n_head": 4, "n_inner": 64, "n_positions": 64, "vocab_size": 128,
        "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new", "tie_word_embeddings": true,
        "embd_pdrop": 0.0, "resid_pdrop": 0.0, "attn_pdrop": 0.0,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    });
    // The second key of the depth is Transformers' own other name of the first.
    assert_eq!(described("gpt2", json!({ "num_hidden_layers": 2, "own": "canary" })), gpt2);
    let neox = json!({
        "model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"], "dtype": "bfloat16", "torch_dtype": "bfloat16",
        "hidden_size": 32, "num_hidden_layers": 5, "num_attention_heads": 4, "intermediate_size": 64,
        "max_position_embeddings": 64, "vocab_size": 128, "layer_norm_eps": 1e-5, "hidden_act": "gelu",
        "tie_word_embeddings": false, "attention_bias": true, "use_parallel_residual": true,
        "hidden_dropout": 0.0, "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
        "rotary_pct": 0.25, "rotary_emb_base": 10000.0,
        "rope_parameters": { "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25 },
    });
    for golden in ["gpt_neox", "gpt_neox-v4-config"] {
        assert_eq!(without_null(&described(golden, json!({}))), neox, "{golden}");
    }
    let opt = described("opt", json!({ "_remove_final_layer_norm": false, "prefix": "canary" }));
    // Transformers 4 takes 512 where the last is missing.
    for (key, value) in [("ffn_dim", json!(64)), ("enable_bias", json!(true)), ("word_embed_proj_dim", json!(32))] {
        assert_eq!(opt[key], value);
    }
    assert_eq!(opt.get("prefix"), None);
    let scaled = described("llama-rope-llama3-v4", json!({}));
    let scaling = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    });
    assert_eq!((&scaled["rope_scaling"], &scaled["rope_theta"]), (&scaling, &json!(100.0)));
    // A type that Transformers has no class for is written as the one that it is.
    let smollm = described("llama", json!({ "model_type": "smollm" }));
    assert_eq!((&smollm["model_type"], &smollm["architectures"]), (&json!("llama"), &json!(["LlamaForCausalLM"])));
}

#[test]
fn ids_are_written_only_where_they_are_ids() {
    let ids = json!({ "bos_token_id": "canary", "eos_token_id": [2, 5], "pad_token_id": null });
    let config = described("llama", ids);
    assert_eq!((config.get("bos_token_id"), &config["eos_token_id"]), (None, &json!([2, 5])));
    assert_eq!(config.get("pad_token_id"), Some(&Value::Null));
    let beyond = described("llama", json!({ "eos_token_id": 128, "bos_token_id": [1, "canary"], "pad_token_id": -1 }));
    assert!(["eos_token_id", "bos_token_id", "pad_token_id"].iter().all(|key| beyond.get(*key).is_none()), "{beyond}");
}

#[test]
fn a_window_of_some_layers_ends_the_context_and_one_of_all_stays() {
    let of = |golden: &str, over: Value| {
        let config = described(golden, over);
        let keys = ["max_position_embeddings", "sliding_window", "use_sliding_window", "max_window_layers"];
        keys.map(|key| config.get(key).cloned().unwrap_or(json!("nothing")))
    };
    let window = |from: Value| json!({ "use_sliding_window": true, "sliding_window": 16, "max_window_layers": 1, "layer_types": from });
    let [full, sliding] = ["full_attention", "sliding_attention"];
    assert_eq!(
        of("mistral", json!({ "sliding_window": 16 })),
        [json!(64), json!(16), json!("nothing"), json!("nothing")]
    );
    assert_eq!(of("mistral", json!({}))[..2], [json!(64), Value::Null]);
    let nothing = json!("nothing");
    assert_eq!(of("qwen2", window(json!([sliding, sliding]))), [json!(64), json!(16), json!(true), json!(0)]);
    assert_eq!(of("qwen2", window(json!([full, sliding]))), [json!(16), Value::Null, json!(false), nothing.clone()]);
    assert_eq!(of("qwen2", json!({})), [json!(64), Value::Null, json!(false), nothing]);
}

#[test]
fn a_rotary_share_is_read_as_the_dimensions_that_it_was() {
    let (model, _) = golden_model("gpt_neox");
    for head_dim in (2..=320).step_by(2) {
        for dims in (2..=head_dim).step_by(2) {
            let rope = Rope::plain(10_000.0, dims);
            let mut config = model.decoder.config.clone();
            (config.head_dim, config.positions) = (head_dim, Positions::Rope(rope));
            let share = config.described(2, Dtype::F32)["rotary_pct"].as_f64().unwrap();
            // As Transformers does, and our reader.
            assert_eq!((head_dim as f64 * share) as usize, dims, "{dims} of {head_dim}");
        }
    }
}

/// Every rescaling that is read is written such that it is read again, and the numbers beside it.
#[test]
fn positions_are_written_as_they_were_read() {
    let base = |over: Value| {
        let mut rope = json!({ "rope_theta": 10000.0 });
        rope.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        json!({ "rope_parameters": rope, "max_position_embeddings": 64 })
    };
    let pairs = |n: usize| (0..n).map(|pair| 1.0 + pair as f64 / 8.0).collect::<Vec<f64>>();
    let sections = [
        json!({ "rope_type": "default" }),
        json!({ "rope_type": "linear", "factor": 2.5 }),
        json!({ "rope_type": "dynamic", "factor": 2.0 }),
        json!({ "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32 }),
        json!({ "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16 }),
        json!({ "rope_type": "yarn", "factor": null, "original_max_position_embeddings": 16, "mscale": 0.7,
                "mscale_all_dim": 1.0, "beta_fast": 16.0, "beta_slow": 2.0, "truncate": false }),
        json!({ "rope_type": "longrope", "short_factor": pairs(4), "long_factor": pairs(4),
                "original_max_position_embeddings": 16 }),
        json!({ "rope_type": "proportional", "factor": 2.0, "partial_rotary_factor": 0.5 }),
    ];
    for golden in ["llama", "mistral", "qwen2"] {
        for section in &sections {
            let (first, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let path = super::tests_folder().join("golden").join(golden).join("config.json");
            let mut config: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            config.as_object_mut().unwrap().remove("rope_scaling");
            config.as_object_mut().unwrap().extend(base(section.clone()).as_object().unwrap().clone());
            std::fs::write(first.path().join("config.json"), config.to_string()).unwrap();
            let read = ModelConfig::read(first.path()).unwrap();
            let written = Value::Object(read.described(2, Dtype::F32));
            std::fs::write(folder.path().join("config.json"), written.to_string()).unwrap();
            let again = ModelConfig::read(folder.path()).unwrap();
            assert_eq!(
                (&again.positions, again.context),
                (&read.positions, read.context),
                "{golden}: {section} became {written}"
            );
        }
    }
}
