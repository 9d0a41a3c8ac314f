//! Model folders as other programs leave them: links of the Hub's cache, files beside the weights, buffers of older versions,
//! quantised weights, byte-order marks, numbers that JSON has not.

use super::folder::{Stored, check, check_folder, edit_config, edit_tensors, weights};
use super::{golden, load};
use crate::{Model, ModelConfig};
use scaleot_tensor::{Device, Dtype};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const DEQUANTISE: &str = "quantised weights are not read; take the model's folder in bf16, fp16 or fp32, or write one with Transformers (from_pretrained, dequantize, save_pretrained)";

/// A copy of a golden model, changed.
fn copy(model: &str, change: impl FnOnce(&Path)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden(model).0).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    change(folder.path());
    folder
}

fn tensor(dtype: &str, shape: &[usize], bytes: Vec<u8>) -> Stored {
    (dtype.to_owned(), shape.to_vec(), bytes)
}

/// The cache of `huggingface_hub`: `snapshots/<revision>/` holds relative links to `../../blobs/<digest>`.
fn hub_cache(model: &str, root: &Path) -> PathBuf {
    let (blobs, snapshot) = (root.join("blobs"), root.join("snapshots/0123abc"));
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    for (number, entry) in fs::read_dir(golden(model).0).unwrap().enumerate() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), blobs.join(format!("{number:040}"))).unwrap();
        symlink(format!("../../blobs/{number:040}"), snapshot.join(entry.file_name())).unwrap();
    }
    snapshot
}

#[test]
fn a_snapshot_of_the_hubs_cache_is_a_model_folder() {
    for model in ["llama", "llama-untied-sharded"] {
        let root = tempfile::tempdir().unwrap();
        let linked = load(&hub_cache(model, root.path()));
        let plain = load(&golden(model).0);
        let names: Vec<&str> = linked.weights().names().collect();
        assert_eq!(names, plain.weights().names().collect::<Vec<_>>());
        assert!(names.iter().all(|name| linked.weights().bytes(name) == plain.weights().bytes(name)));
    }
}

#[test]
fn what_is_missing_in_a_hub_cache_is_said() {
    let root = tempfile::tempdir().unwrap();
    let snapshot = hub_cache("llama", root.path());
    check_folder(root.path(), "DIR: a model of the Hub's cache; name its snapshot, such as DIR/snapshots/0123abc");
    for name in ["model.safetensors", "config.json"] {
        let target = fs::read_link(snapshot.join(name)).unwrap();
        fs::remove_file(snapshot.join(&target)).unwrap();
        let what = "the download is unfinished, or a Hub cache was copied without its blobs; fetch the model again, or copy it with `cp -rL`";
        let expected = format!("DIR/{name}: a link to {}, where nothing is: {what}", target.display());
        check_folder(&snapshot, &expected);
    }
}

#[test]
fn files_beside_the_weights_are_passed_over() {
    let shard = "model-00001-of-00003.safetensors";
    for name in ["consolidated.safetensors", "adapter_model.safetensors", "model.fp16.safetensors", "pytorch_model.bin"]
    {
        let folder = copy("llama-untied-sharded", |folder| {
            fs::copy(folder.join(shard), folder.join(name)).unwrap();
            fs::create_dir(folder.join("onnx")).unwrap();
            fs::write(folder.join("model-q4.gguf"), "GGUF").unwrap();
        });
        let model = load(folder.path());
        let files = model.weights().files().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned());
        let files: Vec<String> = files.collect();
        assert_eq!(files, (1..=3).map(|n| format!("model-0000{n}-of-00003.safetensors")).collect::<Vec<_>>(), "{name}");
    }
}

/// `_get_resolved_checkpoint_files` of Transformers 5.23 looks for the single file first.
#[test]
fn the_single_file_comes_before_an_index() {
    let folder = copy("llama", |folder| {
        fs::write(folder.join("model.safetensors.index.json"), "{\"weight_map\": {\"a\": \"b.safetensors\"}}").unwrap();
    });
    assert_eq!(load(folder.path()).weights().files().count(), 1);
}

/// `transformers_weights` of the config names another file (`transformers_explicit_filename` in Transformers 5.23).
#[test]
fn the_config_may_name_the_weights() {
    let folder = copy("llama", |folder| {
        fs::rename(weights(folder), folder.join("model.fp32.safetensors")).unwrap();
        edit_config(folder, "transformers_weights", json!("model.fp32.safetensors"));
    });
    let model = load(folder.path());
    assert!(!model.decoder.config.raw.contains_key("transformers_weights"));
    assert_eq!(model.weights().files().next(), Some(folder.path().join("model.fp32.safetensors").as_path()));
    let expected = "expected the plain name of a file that ends in .safetensors or .safetensors.index.json";
    for name in ["../model.safetensors", "pytorch_model.bin"] {
        check(
            "llama",
            |folder| edit_config(folder, "transformers_weights", json!(name)),
            &format!("DIR/config.json: `transformers_weights` is \"{name}\", {expected}"),
        );
    }
}

#[test]
fn other_weights_than_a_models_are_named() {
    let renamed = |name: &'static str| move |folder: &Path| fs::rename(weights(folder), folder.join(name)).unwrap();
    let other = "weights in another layout, expected model.safetensors or model.safetensors.index.json; write them with Transformers' save_pretrained";
    check("llama", renamed("consolidated.safetensors"), &format!("DIR/consolidated.safetensors: {other}"));
    check("llama", renamed("model-q4.gguf"), &format!("DIR/model-q4.gguf: {other}"));
    let adapter = "an adapter of peft, expected a whole model; merge it into its model first, with peft's merge_and_unload and save_pretrained";
    check("llama", renamed("adapter_model.safetensors"), &format!("DIR: {adapter}"));
    let only = |folder: &Path| {
        fs::remove_file(folder.join("config.json")).unwrap();
        fs::write(folder.join("adapter_config.json"), "{}").unwrap();
    };
    check("llama", only, &format!("DIR: {adapter}"));
    check(
        "llama",
        |folder| fs::write(folder.join("adapter_config.json"), "{}").unwrap(),
        "DIR/adapter_config.json: beside a whole model, into which Transformers would load the adapter; merge it first, or remove the file",
    );
}

#[test]
fn buffers_of_older_versions_are_passed_over() {
    let ones = |count: usize| 1.0_f32.to_le_bytes().repeat(count);
    for (model, buffers) in [
        ("llama", ["rotary_emb.inv_freq", "model.rotary_emb.inv_freq", "model.layers.0.self_attn.rotary_emb.inv_freq"]),
        ("qwen2", ["rotary_emb.inv_freq", "model.rotary_emb.inv_freq", "model.layers.1.self_attn.rotary_emb.inv_freq"]),
        (
            "opt",
            ["position_ids", "model.decoder.embed_positions.position_ids", "model.decoder.layers.0.self_attn.bias"],
        ),
        (
            "gpt_neox",
            ["gpt_neox.rotary_emb.inv_freq", "gpt_neox.layers.0.attention.rotary_emb.inv_freq", "position_ids"],
        ),
        ("gpt2-bare-names", ["h.0.attn.masked_bias", "h.1.attn.masked_bias", "h.0.crossattention.bias"]),
    ] {
        let folder = copy(model, |folder| {
            edit_tensors(&weights(folder), |tensors| {
                for name in buffers {
                    tensors.insert(name.to_owned(), tensor("F32", &[4], ones(4)));
                }
                // Causal masks: true below the diagonal, and the value for the places above it.
                tensors.insert("layers.0.attention.bias".to_owned(), tensor("BOOL", &[1, 1, 2, 2], vec![1, 0, 1, 1]));
                let infinity = f32::NEG_INFINITY.to_le_bytes().to_vec();
                tensors.insert("layers.0.attention.masked_bias".to_owned(), tensor("F32", &[], infinity));
            });
        });
        Model::load(folder.path(), Device::Cpu, Dtype::F32).unwrap_or_else(|error| panic!("{model}: {error}"));
    }
}

#[test]
fn quantised_models_are_refused_as_such() {
    let part = "model.layers.0.self_attn.q_proj";
    for end in
        ["qweight", "qzeros", "scales", "SCB", "weight_scale", "weight.absmax", "weight.quant_state.bitsandbytes__nf4"]
    {
        let name = format!("{part}.{end}");
        check(
            "llama",
            |folder| {
                edit_tensors(&weights(folder), |tensors| {
                    tensors.remove(&format!("{part}.weight"));
                    tensors.insert(name.clone(), tensor("U8", &[4], vec![1; 4]));
                });
            },
            &format!("DIR/model.safetensors: tensor `{name}` is a part of a quantised weight; {DEQUANTISE}"),
        );
    }
    check(
        "llama",
        |folder| edit_config(folder, "quantization_config", json!({ "quant_method": "gptq", "bits": 4 })),
        &format!("DIR/config.json: `quantization_config` is \"gptq\"; {DEQUANTISE}"),
    );
    check(
        "llama",
        |folder| {
            edit_tensors(&weights(folder), |tensors| {
                tensors.insert(format!("{part}.weight"), tensor("F8_E4M3", &[32, 32], vec![1; 1024]));
            });
        },
        "DIR/model.safetensors: tensor `model.layers.0.self_attn.q_proj.weight`, header byte 870: found dtype `F8_E4M3`, expected one of F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL; quantised weights are not read, write the model in bf16, fp16 or fp32",
    );
    let folder = copy("llama", |folder| edit_config(folder, "quantization_config", json!(null)));
    load(folder.path());
}

fn rewrite(path: &Path, change: impl FnOnce(String) -> Vec<u8>) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, change(text)).unwrap();
}

#[test]
fn byte_order_marks_change_nothing_and_utf16_is_named() {
    let marked = |text: String| [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat();
    let folder = copy("llama-untied-sharded", |folder| {
        rewrite(&folder.join("config.json"), marked);
        rewrite(&folder.join("model.safetensors.index.json"), marked);
    });
    load(folder.path());
    let wide = |text: String| text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    check(
        "llama",
        |folder| rewrite(&folder.join("config.json"), wide),
        "DIR/config.json: found UTF-16, expected UTF-8; save the file as UTF-8",
    );
}

#[test]
fn numbers_that_json_has_not_are_refused_where_they_count() {
    let with = |key: &'static str, value: &'static str| {
        move |text: String| text.replacen('{', &format!("{{\"{key}\": {value},"), 1).into_bytes()
    };
    let folder = copy("llama", |folder| rewrite(&folder.join("config.json"), with("initializer_range", "NaN")));
    load(folder.path());
    // A llama has no attention window, whatever its config says of one.
    let folder = copy("llama", |folder| rewrite(&folder.join("config.json"), with("sliding_window", "Infinity")));
    load(folder.path());
    let replace = |from: &'static str, to: &'static str| move |text: String| text.replace(from, to).into_bytes();
    check(
        "llama",
        |folder| rewrite(&folder.join("config.json"), replace("10000.0", "-Infinity")),
        "DIR/config.json: `rope_parameters.rope_theta` is -Infinity, expected a finite number above 0",
    );
    check(
        "mistral",
        |folder| {
            rewrite(&folder.join("config.json"), replace("\"sliding_window\": null", "\"sliding_window\": Infinity"))
        },
        "DIR/config.json: `sliding_window` is Infinity, expected a whole number from 1 to 16777216",
    );
    check(
        "llama",
        |folder| rewrite(&folder.join("config.json"), replace("\"silu\"", "nan")),
        "DIR/config.json: not JSON: expected ident at line 11 column 18; correct it, or fetch the file again",
    );
}

/// `MistralConfig` and `Qwen2Config` of Transformers 5.23: a window of 4096 where the key is absent, none where it is null.
#[test]
fn attention_windows_bound_the_context() {
    let context = |model: &str, keys: serde_json::Value| {
        let folder = copy(model, |folder| {
            edit_config(folder, "max_position_embeddings", json!(10_000));
            let path = folder.join("config.json");
            let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            config.as_object_mut().unwrap().remove("sliding_window");
            config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
            fs::write(path, config.to_string()).unwrap();
        });
        ModelConfig::read(folder.path()).unwrap().context
    };
    assert_eq!(context("mistral", json!({})), 4096);
    assert_eq!(context("mistral", json!({ "sliding_window": null })), 10_000);
    assert_eq!(context("mistral", json!({ "sliding_window": 100 })), 100);
    assert_eq!(context("llama", json!({ "sliding_window": 100 })), 10_000);
    assert_eq!(context("qwen2", json!({ "sliding_window": 100, "use_sliding_window": false })), 10_000);
    assert_eq!(context("qwen2", json!({ "use_sliding_window": true })), 4096);
    assert_eq!(context("qwen2", json!({ "sliding_window": 100, "use_sliding_window": true })), 100);
}
