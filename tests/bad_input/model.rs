//! 16 to 27: model folders, exit 3.

use super::table::{Table, model_in};
use std::fs;
use std::path::Path;

fn config(model: &Path, key: &str, value: serde_json::Value) {
    let path = model.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config[key] = value;
    fs::write(path, config.to_string()).unwrap();
}

/// Replaces bytes of the header of `model.safetensors` by as many others.
fn header(model: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let path = model.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let text = String::from_utf8(bytes[8..8 + length].to_vec()).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    bytes[8..8 + length].copy_from_slice(text.replacen(from, to, 1).as_bytes());
    fs::write(path, bytes).unwrap();
}

fn value(model: &Path, value: f32) {
    let path = model.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() - 64;
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    fs::write(path, bytes).unwrap();
}

type Spoil = fn(&Path);

const CASES: &[(&str, Spoil)] = &[
    ("16 empty folder", |model| {
        fs::remove_dir_all(model).unwrap();
        fs::create_dir(model).unwrap();
    }),
    ("17 config missing", |model| fs::remove_file(model.join("config.json")).unwrap()),
    ("17 config empty", |model| fs::write(model.join("config.json"), "").unwrap()),
    ("17 config cut", |model| fs::write(model.join("config.json"), "{\"model_type\": \"lla").unwrap()),
    ("17 config an array", |model| fs::write(model.join("config.json"), "[1]").unwrap()),
    ("18 unknown family", |model| config(model, "model_type", "mamba".into())),
    ("19 hidden not divisible", |model| config(model, "hidden_size", 66.into())),
    ("19 no heads", |model| config(model, "num_attention_heads", 0.into())),
    ("19 negative layers", |model| config(model, "num_hidden_layers", (-1).into())),
    ("19 a billion layers", |model| config(model, "num_hidden_layers", 1_000_000_000.into())),
    ("19 key heads do not divide", |model| config(model, "num_key_value_heads", 3.into())),
    ("20 vocabulary differs", |model| config(model, "vocab_size", 1000.into())),
    ("22 tensor missing", |model| header(model, "model.norm.weight", "model.norm.weighs")),
    ("22 transposed", |model| header(model, "\"shape\":[176,64]", "\"shape\":[64,176]")),
    ("22 wrong dtype", |model| header(model, "\"dtype\":\"F32\"", "\"dtype\":\"I32\"")),
    ("23 quantised", |model| config(model, "quantization_config", serde_json::json!({ "quant_method": "awq" }))),
    ("23 a part of a quantised weight", |model| header(model, "gate_proj.weight", "gate_pro.qweight")),
    ("24 only a pickle", |model| {
        fs::rename(model.join("model.safetensors"), model.join("pytorch_model.bin")).unwrap();
    }),
    ("24 only an adapter", |model| {
        fs::rename(model.join("model.safetensors"), model.join("adapter_model.safetensors")).unwrap();
    }),
    ("24 another layout", |model| {
        fs::rename(model.join("model.safetensors"), model.join("consolidated.safetensors")).unwrap();
    }),
    ("25 a link to nothing", |model| {
        let weights = model.join("model.safetensors");
        fs::remove_file(&weights).unwrap();
        std::os::unix::fs::symlink("../../blobs/0123abc", weights).unwrap();
    }),
    ("25 a folder for a file", |model| {
        fs::remove_file(model.join("model.safetensors")).unwrap();
        fs::create_dir(model.join("model.safetensors")).unwrap();
    }),
    ("26 not a number", |model| value(model, f32::NAN)),
    ("26 infinite", |model| value(model, f32::INFINITY)),
    ("43 tokenizer missing", |model| fs::remove_file(model.join("tokenizer.json")).unwrap()),
    ("43 tokenizer is no JSON", |model| fs::write(model.join("tokenizer.json"), "tokens").unwrap()),
    ("43 the vocabulary of another tokenizer", |model| {
        fs::rename(model.join("tokenizer.json"), model.join("vocab.json")).unwrap();
    }),
    ("48 two tokens of one id", |model| {
        let path = model.join("tokenizer.json");
        let mut tokenizer: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        tokenizer["model"]["vocab"]["one_too_many"] = 1023.into();
        fs::write(path, tokenizer.to_string()).unwrap();
    }),
    ("48 a broken file beside the tokenizer", |model| {
        fs::write(model.join("tokenizer_config.json"), "{\"eos_token\":").unwrap();
    }),
];

#[test]
fn a_model_folder_is_refused_by_file_and_tensor() {
    let mut table = Table::new();
    for (index, (name, spoil)) in CASES.iter().enumerate() {
        let model = model_in(table.folder.path(), &format!("model-{index}"));
        spoil(&model);
        let path = format!("model.path={}", model.display());
        // Evaluation needs the tokenizer as well.
        table.verb(name, 3, "evaluate", &[&path]);
    }
    insta::assert_snapshot!(table.said());
}

#[test]
fn a_data_set_is_refused_by_file_line_and_field() {
    let mut table = Table::new();
    let tasks = table.folder.path().join("tasks");
    let file = tasks.join("arc_easy/test.jsonl");
    let good = fs::read_to_string(behaviour::repository().join("tests/fixtures/tasks/arc_easy/test.jsonl")).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let broken = |line: &str| format!("{}\n{line}\n{}\n", lines[0], lines[1]);
    let cases: [(&str, Vec<u8>); 6] = [
        ("52 empty", Vec::new()),
        ("52 blank lines", b"\n\n\n".to_vec()),
        ("53 not JSON", broken("question: 1").into_bytes()),
        ("53 wrong field", broken("{\"qestion\": \"what\"}").into_bytes()),
        ("54 not UTF-8", [broken("").into_bytes(), vec![0xc3, 0x28]].concat()),
        (
            "58 label out of range",
            lines[0].replace("\"gold\": 0", "\"gold\": 9").replace("\"gold\":0", "\"gold\":9").into_bytes(),
        ),
    ];
    let folder = format!("data.folder={}", tasks.display());
    for (name, bytes) in cases {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, bytes).unwrap();
        table.verb(name, 3, "evaluate", &[&folder]);
    }
    insta::assert_snapshot!(table.said());
}
