//! Bad model folders: each is refused with a message that names file, key or tensor, found, expected.

use crate::Model;
use scaleot_tensor::{Device, Dtype};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Copies a golden model, changes it, and compares the refusal; `DIR` stands for the folder.
pub(super) fn check(model: &str, change: impl FnOnce(&Path), expected: &str) {
    let from = super::tests_folder().join("golden").join(model);
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "golden.json" {
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    change(folder.path());
    check_folder(folder.path(), expected);
}

pub(super) fn check_folder(folder: &Path, expected: &str) {
    let error = Model::load(folder, Device::Cpu, Dtype::F32).err().expect("refused");
    assert_eq!(error.to_string().replace(folder.to_str().unwrap(), "DIR"), expected);
}

pub(super) fn edit_config(folder: &Path, key: &str, value: Value) {
    let path = folder.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config[key] = value;
    fs::write(path, config.to_string()).unwrap();
}

/// A tensor of a file: dtype, shape, bytes.
pub(super) type Stored = (String, Vec<usize>, Vec<u8>);

/// Rewrites a safetensors file after a change to its tensors.
pub(super) fn edit_tensors(path: &Path, change: impl FnOnce(&mut BTreeMap<String, Stored>)) {
    let bytes = fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: BTreeMap<String, Stored> = file
        .tensors()
        .into_iter()
        .map(|(name, t)| (name, (format!("{:?}", t.dtype()), t.shape().to_vec(), t.data().to_vec())))
        .collect();
    change(&mut tensors);
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, (dtype, shape, bytes)) in &tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        header.insert(name.clone(), json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets }));
        data.extend_from_slice(bytes);
    }
    let header = Value::Object(header).to_string();
    fs::write(path, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data.as_slice()].concat()).unwrap();
}

pub(super) fn weights(folder: &Path) -> std::path::PathBuf {
    folder.join("model.safetensors")
}

fn set_value(bytes: &mut [u8], index: usize, value: f32) {
    bytes[index * 4..index * 4 + 4].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let expected =
        |found: &str| format!("DIR: found {found}, expected a model folder with config.json and safetensors files");
    check_folder(folder.path(), &expected("an empty folder"));
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    check_folder(&file, &expected("a file"));
    check_folder(&folder.path().join("nowhere"), &expected("nothing"));
}

#[test]
fn config_files_that_are_none() {
    let write = |text: &'static str| move |folder: &Path| fs::write(folder.join("config.json"), text).unwrap();
    check(
        "llama",
        |folder| fs::remove_file(folder.join("config.json")).unwrap(),
        "DIR/config.json: cannot be read: No such file or directory (os error 2)",
    );
    check("llama", write(""), "DIR/config.json: not JSON: the file is empty; is the download complete?");
    check(
        "llama",
        write("{\"hidden_size\": 3"),
        "DIR/config.json: not JSON: EOF while parsing an object at line 1 column 17; is the download complete?",
    );
    check("llama", write("[1]"), "DIR/config.json: found an array, expected a JSON object");
    check(
        "llama",
        |folder| fs::File::create(folder.join("config.json")).unwrap().set_len(1 << 30).unwrap(),
        "DIR/config.json: 1073741824 bytes, expected at most 16777216; this is not a file that Transformers wrote",
    );
}

#[test]
fn architectures_that_are_not_known() {
    let known = "llama, mistral, smollm, qwen2, gpt2, opt, gpt_neox";
    check(
        "llama",
        |folder| edit_config(folder, "model_type", json!("mamba\n")),
        &format!("DIR/config.json: `model_type` is \"mamba\\n\", expected one of {known}"),
    );
    check(
        "llama",
        |folder| fs::write(folder.join("config.json"), "{}").unwrap(),
        &format!("DIR/config.json: `model_type` is missing, expected one of {known}"),
    );
}

#[test]
fn numbers_that_cannot_be() {
    for (model, key, value, expected) in [
        ("gpt2", "n_embd", json!(33), "`n_head` is 4, `n_embd` is 33: expected the first to divide the second"),
        (
            "llama",
            "num_key_value_heads",
            json!(3),
            "`num_key_value_heads` is 3, `num_attention_heads` is 4: expected the first to divide the second",
        ),
        ("llama", "num_attention_heads", json!(0), "`num_attention_heads` is 0, expected a whole number from 1 to 32"),
        ("llama", "num_hidden_layers", json!(0), "`num_hidden_layers` is 0, expected a whole number from 1 to 4096"),
        ("llama", "num_hidden_layers", json!(-1), "`num_hidden_layers` is -1, expected a whole number from 1 to 4096"),
        (
            "llama",
            "num_hidden_layers",
            json!(1_000_000_000),
            "`num_hidden_layers` is 1000000000, expected a whole number from 1 to 4096",
        ),
        (
            "llama",
            "num_hidden_layers",
            json!(2.5),
            "`num_hidden_layers` is 2.5, expected a whole number from 1 to 4096",
        ),
        ("llama", "hidden_size", json!("32"), "`hidden_size` is \"32\", expected a whole number from 1 to 16777216"),
        (
            "llama",
            "intermediate_size",
            json!(null),
            "`intermediate_size` is null, expected a whole number from 1 to 16777216",
        ),
        ("llama", "rms_norm_eps", json!(0.0), "`rms_norm_eps` is 0.0, expected a finite number above 0"),
        (
            "llama",
            "hidden_act",
            json!("mish"),
            "`hidden_act` is \"mish\", expected one of relu, gelu, gelu_new, gelu_pytorch_tanh, silu, tanh",
        ),
        ("llama", "tie_word_embeddings", json!(1), "`tie_word_embeddings` is 1, expected true or false"),
        (
            "llama",
            "rope_parameters",
            json!({"rope_type": "mrope", "rope_theta": 1e4}),
            "`rope_parameters.rope_type` is \"mrope\", expected default, linear, dynamic, llama3, yarn, longrope or proportional; other scalings are not supported",
        ),
        (
            "llama",
            "rope_parameters",
            json!({"rope_type": "linear"}),
            "`rope_parameters.factor` is missing, expected a finite number above 0",
        ),
        (
            "llama",
            "rope_parameters",
            json!({"rope_type": "llama3", "low_freq_factor": 4.0, "high_freq_factor": 4.0}),
            "`rope_parameters.low_freq_factor` is 4.0, expected less than high_freq_factor, 4",
        ),
        ("llama", "rope_parameters", json!([]), "`rope_parameters` is [], expected an object or null"),
        (
            "gpt_neox-v4-config",
            "rotary_pct",
            json!(0.1),
            "`rotary_pct` is 0.1, expected a share that turns 1 to 8 dimensions of a head",
        ),
        (
            "opt",
            "do_layer_norm_before",
            json!(false),
            "`do_layer_norm_before` is false, expected true; the other variant is not supported",
        ),
        ("opt", "word_embed_proj_dim", json!(16), "`word_embed_proj_dim` is 16, expected 32, the hidden size"),
    ] {
        check(model, |folder| edit_config(folder, key, value), &format!("DIR/config.json: {expected}"));
    }
}

#[test]
fn config_and_weights_of_different_models() {
    check(
        "llama",
        |folder| edit_config(folder, "vocab_size", json!(127)),
        "DIR/model.safetensors: tensor `model.embed_tokens.weight` has 128 rows, but `vocab_size` in config.json is 127",
    );
    check(
        "llama",
        |folder| edit_config(folder, "num_hidden_layers", json!(1)),
        "DIR/model.safetensors: tensor `model.layers.1.input_layernorm.weight` is not part of a llama model with 1 layers; is config.json of another model?",
    );
    check(
        "llama",
        |folder| edit_config(folder, "num_hidden_layers", json!(3)),
        "DIR/model.safetensors: tensor `model.layers.2.input_layernorm.weight` is missing, expected shape [32]",
    );
}

#[test]
fn tensors_that_do_not_fit() {
    let edit = |change: fn(&mut BTreeMap<String, Stored>)| move |folder: &Path| edit_tensors(&weights(folder), change);
    check(
        "llama",
        edit(|t| drop(t.remove("model.layers.1.mlp.up_proj.weight"))),
        "DIR/model.safetensors: tensor `model.layers.1.mlp.up_proj.weight` is missing, expected shape [64, 32]",
    );
    check(
        "llama",
        edit(|t| drop(t.insert("model.extra".into(), ("F32".into(), vec![1], vec![0; 4])))),
        "DIR/model.safetensors: tensor `model.extra` is not part of a llama model with 2 layers; is config.json of another model?",
    );
    check(
        "llama",
        edit(|t| t.get_mut("model.layers.0.mlp.up_proj.weight").unwrap().1.reverse()),
        "DIR/model.safetensors: tensor `model.layers.0.mlp.up_proj.weight` has shape [32, 64], expected [64, 32]",
    );
    check(
        "llama",
        edit(|t| t.get_mut("model.norm.weight").unwrap().0 = "I32".into()),
        "DIR/model.safetensors: tensor `model.norm.weight` has dtype I32, expected F32, F16 or BF16; quantised weights are not read; take the model's folder in bf16, fp16 or fp32, or write one with Transformers (from_pretrained, dequantize, save_pretrained)",
    );
    check(
        "llama",
        edit(|t| {
            let mut head = t["model.embed_tokens.weight"].clone();
            head.2[0] ^= 1;
            t.insert("lm_head.weight".into(), head);
        }),
        "DIR/model.safetensors: `tie_word_embeddings` is true, but `lm_head.weight` differs from `model.embed_tokens.weight`; remove one, or set the key to false",
    );
}

#[test]
fn a_tied_head_that_is_the_same_is_taken() {
    let (from, _) = super::golden("llama");
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(from.join(name), folder.path().join(name)).unwrap();
    }
    edit_tensors(&weights(folder.path()), |t| {
        let head = t["model.embed_tokens.weight"].clone();
        t.insert("lm_head.weight".into(), head);
        // What old files carry beside the weights.
        t.insert("model.layers.1.self_attn.rotary_emb.inv_freq".into(), ("F32".into(), vec![1], vec![0; 4]));
    });
    assert!(super::load(folder.path()).decoder.head.is_none());
}

#[test]
fn values_that_are_no_weights() {
    for (value, found) in [(f32::NAN, "NaN"), (f32::INFINITY, "infinity"), (f32::NEG_INFINITY, "infinity")] {
        check(
            "llama",
            |folder| {
                edit_tensors(&weights(folder), |t| {
                    set_value(&mut t.get_mut("model.layers.0.post_attention_layernorm.weight").unwrap().2, 7, value);
                });
            },
            &format!(
                "DIR/model.safetensors: tensor `model.layers.0.post_attention_layernorm.weight` is {found} at index 7, expected finite values"
            ),
        );
    }
    check(
        "llama",
        |folder| edit_tensors(&weights(folder), |t| t.values_mut().for_each(|t| t.2.fill(0))),
        "DIR/model.safetensors: tensor `model.embed_tokens.weight` is zero at every index from 0 to 4095, expected trained weights",
    );
}

#[test]
fn shards_that_do_not_fit() {
    let index = "model.safetensors.index.json";
    let edit = |tensor: &'static str, shard: &'static str| {
        move |folder: &Path| {
            let mut value: Value = serde_json::from_slice(&fs::read(folder.join(index)).unwrap()).unwrap();
            value["weight_map"][tensor] = json!(shard);
            fs::write(folder.join(index), value.to_string()).unwrap();
        }
    };
    let model = "llama-untied-sharded";
    check(
        model,
        edit("lm_head.weight", "model-00009-of-00003.safetensors"),
        "DIR/model.safetensors.index.json: tensor `lm_head.weight` is in `model-00009-of-00003.safetensors`, which is missing; copy the shard into the folder",
    );
    check(
        model,
        edit("lm_head.weight", "../model.safetensors"),
        "DIR/model.safetensors.index.json: tensor `lm_head.weight` is in `../model.safetensors`, expected a plain file name ending in .safetensors",
    );
    check(
        model,
        edit("no.such.tensor", "model-00001-of-00003.safetensors"),
        "DIR/model-00001-of-00003.safetensors: tensor `no.such.tensor` is not in this shard, where DIR/model.safetensors.index.json puts it",
    );
    check(
        model,
        |folder| {
            let source = folder.join("model-00002-of-00003.safetensors");
            let moved = safetensors_names(&source)[0].clone();
            let mut copy = None;
            edit_tensors(&source, |t| copy = t.get(&moved).cloned());
            let target = folder.join("model-00003-of-00003.safetensors");
            edit_tensors(&target, |t| drop(t.insert("lm_head.weight".into(), copy.unwrap())));
            edit_tensors(&source, |t| drop(t.insert("lm_head.weight".into(), t[&moved].clone())));
        },
        "tensor `lm_head.weight` is in DIR/model-00002-of-00003.safetensors and in DIR/model-00003-of-00003.safetensors, expected in one",
    );
    check(
        model,
        |folder| fs::write(folder.join(index), "{\"weight_map\": {}}").unwrap(),
        "DIR/model.safetensors.index.json: `weight_map` is {}, expected an object that names the shard of every tensor",
    );
}

fn safetensors_names(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).unwrap();
    let mut names: Vec<String> =
        safetensors::SafeTensors::deserialize(&bytes).unwrap().names().into_iter().map(String::from).collect();
    names.sort();
    names
}

#[test]
fn files_that_are_not_files() {
    check(
        "llama",
        |folder| fs::rename(weights(folder), folder.join("pytorch_model.bin")).unwrap(),
        "DIR/pytorch_model.bin: a pickle, not read, by design (it can run code); convert it to safetensors with Transformers' save_pretrained",
    );
    check(
        "llama",
        |folder| fs::remove_file(weights(folder)).unwrap(),
        "DIR: no weights; expected model.safetensors or model.safetensors.index.json",
    );
    check(
        "llama",
        |folder| {
            fs::remove_file(weights(folder)).unwrap();
            fs::create_dir(weights(folder)).unwrap();
        },
        "DIR/model.safetensors: found a folder, expected a regular file",
    );
    check(
        "llama",
        |folder| {
            fs::remove_file(weights(folder)).unwrap();
            let path = std::ffi::CString::new(weights(folder).to_str().unwrap()).unwrap();
            // SAFETY: a plain system call with a terminated string.
            assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
        },
        "DIR/model.safetensors: found a pipe, socket or device, expected a regular file",
    );
}

#[test]
fn a_truncated_weight_file() {
    let (from, _) = super::golden("llama");
    let folder = tempfile::tempdir().unwrap();
    fs::copy(from.join("config.json"), folder.path().join("config.json")).unwrap();
    let whole = fs::read(weights(&from)).unwrap();
    fs::write(weights(folder.path()), &whole[..5_000]).unwrap();
    check_folder(
        folder.path(),
        "DIR/model.safetensors: tensor `model.embed_tokens.weight`, header byte 32: found the range 0..16384, expected its end at most at 2976, the end of the data",
    );
}
