//! Files that leave the owner's house, for every family: a bundle and an exported emulator say nothing of the depth and the origin
//! of the model, and still all that a receiver needs; the adapted model, which stays the owner's, keeps every word.

use behaviour::bundle_file::holds;
use behaviour::model::deepened_with;
use behaviour::{Outcome, repository, scaleot, scratch};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Layers of the model: a number that no size of the golden models has.
const DEPTH: usize = 11;
/// Layers of the emulator: two are dropped.
const SLOTS: usize = 9;
/// Stands wherever an owner's word can stand.
const CANARY: &str = "kanarie-7f3a";
/// Stands wherever an owner's number can stand.
const NUMBER: u64 = 987_654_321;

/// A model folder full of canaries, and a config to run it.
struct House {
    folder: tempfile::TempDir,
}

impl House {
    fn of(golden: &str) -> Self {
        let house = Self { folder: scratch() };
        deepened_with(golden, DEPTH, &house.model(), &owners_keys(golden));
        house.put("tokenizer_config.json", &owners_tokenizer_config().to_string());
        let special = json!({ "sep_token": CANARY, "mask_token": { "content": "m", "lstrip": true }, "own": CANARY });
        house.put("special_tokens_map.json", &special.to_string());
        house.put("added_tokens.json", &json!({ CANARY: 5 }).to_string());
        let generation = json!({
            "bos_token_id": 1, "eos_token_id": [2, 3], "pad_token_id": CANARY, "transformers_version": CANARY, "own": NUMBER,
        });
        house.put("generation_config.json", &generation.to_string());
        house.put("LICENSE", &format!("Licence of {CANARY}"));
        house.put("tokenizer.model", CANARY);
        house.put("README.md", CANARY);
        let tokenizer = house.model().join("tokenizer.json");
        let mut text: Value = serde_json::from_slice(&fs::read(&tokenizer).unwrap()).unwrap();
        text["model"]["own"] = CANARY.into();
        text["truncation"] =
            json!({ "direction": "Right", "max_length": NUMBER, "strategy": "LongestFirst", "stride": 0 });
        fs::write(tokenizer, text.to_string()).unwrap();
        fs::write(house.path("text.txt"), "the quick brown fox jumps over the lazy dog. ".repeat(40)).unwrap();
        fs::write(house.path("config.toml"), house.config()).unwrap();
        house
    }

    fn config(&self) -> String {
        let folder = self.folder.path().display();
        format!(
            "version = 1\noutput = \"{folder}/run\"\n[model]\npath = \"{folder}/model\"\n[runtime]\nthreads = 1\n\
             [data]\ntext = [\"{folder}/text.txt\"]\nblock_length = 32\n[replace]\ncount = {}\n\
             [tune]\nlearning_rate = 1e-3\nsteps = 2\nbatch_size = 2\naccumulation = 1\n\
             [evaluate]\ntext = [\"{folder}/text.txt\"]\nlimit = 2\n",
            DEPTH - SLOTS
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn model(&self) -> PathBuf {
        self.path("model")
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.model().join(name), text).unwrap();
    }

    fn verb(&self, verb: &str, more: &[&str]) -> Outcome {
        let config = self.path("config.toml").display().to_string();
        scaleot([verb, &config].into_iter().chain(more.iter().copied()))
    }

    /// Up to the bundle.
    fn bundled(self, more: &[&str]) -> Self {
        for verb in ["importance", "replace", "bundle"] {
            self.verb(verb, more).expect(0);
        }
        self
    }

    fn exported(&self, what: &str) -> PathBuf {
        let to = self.path(what);
        self.verb("export", &["--what", what, "--to", to.to_str().unwrap()]).expect(0);
        to
    }
}

/// Every key that the classes of Transformers 4 and 5 write beside the ones that a decoder is computed from, and some of nobody's.
fn owners_keys(golden: &str) -> Value {
    let words = [
        "_name_or_path",
        "name_or_path",
        "transformers_version",
        "trained_on",
        "_commit_hash",
        "finetuning_task",
        "summary_type",
        "problem_type",
        "prefix",
        "tokenizer_class",
        "attn_implementation",
        "_attn_implementation",
        "_attn_implementation_autoset",
    ];
    let numbers = [
        "initializer_range",
        "init_std",
        "pretraining_tp",
        "max_window_layers",
        "n_ctx",
        "seq_length",
        "pruned_from_layers",
        "original_num_hidden_layers",
        "decoder_start_token_id",
        "sep_token_id",
        "task_specific_params",
        "classifier_dropout",
    ];
    let mut keys = Map::new();
    keys.extend(words.map(|key| (key.to_owned(), json!(CANARY))));
    keys.extend(numbers.map(|key| (key.to_owned(), json!(NUMBER))));
    keys.insert("auto_map".into(), json!({ "AutoModelForCausalLM": format!("{CANARY}--modeling.Model") }));
    keys.insert("id2label".into(), json!({ "0": CANARY }));
    keys.insert("importance_of_layers".into(), json!(vec![0.5; DEPTH]));
    if golden.starts_with("gpt2") {
        // Transformers' own other name of `n_layer`.
        keys.insert("num_hidden_layers".into(), json!(DEPTH));
    }
    if golden.starts_with("qwen2") {
        keys.insert("layer_types".into(), json!(vec!["full_attention"; DEPTH]));
        keys.insert("max_window_layers".into(), json!(DEPTH));
    }
    Value::Object(keys)
}

fn owners_tokenizer_config() -> Value {
    json!({
        "name_or_path": CANARY, "auto_map": { "AutoTokenizer": [CANARY, null] }, "tokenizer_class": format!("{CANARY}Tokenizer"),
        "model_max_length": NUMBER, "special_tokens_map_file": CANARY, "processor_class": CANARY, "own": [CANARY],
        "added_tokens_decoder": { "5": { "content": CANARY } }, "additional_special_tokens": [CANARY],
        "bos_token": { "content": "b", "own": CANARY }, "eos_token": "e", "unk_token": CANARY, "pad_token": null,
        "padding_side": "left", "truncation_side": CANARY, "add_bos_token": false, "add_prefix_space": CANARY,
        "chat_template": format!("{{#- {CANARY} -#}}{{% for message in messages %}}{{{{ message.content }}}}{{% endfor %}}"),
    })
}

/// No byte of a folder's files is a canary; no number or list of its JSON has the model's depth.
#[track_caller]
fn tells_nothing(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let (bytes, shown) = (fs::read(&path).unwrap(), path.display());
        for canary in [CANARY.to_owned(), NUMBER.to_string(), repository().display().to_string()] {
            assert!(!holds(&bytes, canary.as_bytes()), "{shown} holds {canary}");
        }
        // The vocabulary has a token 11.
        if path.extension().is_some_and(|end| end == "json") && !path.ends_with("tokenizer.json") {
            let mut unread = vec![serde_json::from_slice::<Value>(&bytes).unwrap()];
            while let Some(value) = unread.pop() {
                assert_ne!(value, json!(DEPTH), "{shown} has the depth");
                match value {
                    Value::Array(items) => {
                        assert_ne!(items.len(), DEPTH, "{shown} has an entry for each layer");
                        unread.extend(items);
                    }
                    Value::Object(fields) => unread.extend(fields.into_iter().map(|(_, value)| value)),
                    _ => {}
                }
            }
        }
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).unwrap()
}

fn files_of(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn nll(folder: &Path, text: &Path) -> f64 {
    let more = ["--json", "--text", text.to_str().unwrap(), "--limit", "4", "--threads", "1"];
    let told = scaleot(["evaluate", "--model", folder.to_str().unwrap()].into_iter().chain(more)).expect(0).json();
    told["nll"].as_f64().unwrap()
}

#[track_caller]
fn check(golden: &str) {
    let house = House::of(golden).bundled(&[]);
    let bundle = house.path("run/bundle");
    tells_nothing(&bundle);
    let emulator = house.exported("emulator");
    tells_nothing(&emulator);
    // The export is the bundle's emulator: the same losses, from one file of weights without the bundle's names.
    let text = house.path("text.txt");
    let (sent, exported) = (nll(&bundle, &text), nll(&emulator, &text));
    assert!((sent - exported).abs() < 1e-6, "{golden}: {sent} {exported}");
    for folder in [&bundle, &emulator] {
        let config = read(&folder.join("config.json"));
        let layers = config.get("num_hidden_layers").or_else(|| config.get("n_layer"));
        assert_eq!(layers, Some(&json!(SLOTS)), "{golden}");
        assert_eq!(
            (&config["bos_token_id"], &config["eos_token_id"], &config["pad_token_id"]),
            (&json!(1), &json!(2), &json!(0))
        );
        // `m` of the older map; `pad` is null in so many words; canaries are no tokens.
        let tokenizer = json!({
            "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64, "bos_token": "b", "eos_token": "e",
            "mask_token": "m", "padding_side": "left", "add_bos_token": false,
            "chat_template": "{#- -#}{% for message in messages %}{{ message.content }}{% endfor %}",
        });
        assert_eq!(read(&folder.join("tokenizer_config.json")), tokenizer, "{golden}");
        assert_eq!(read(&folder.join("generation_config.json")), json!({ "bos_token_id": 1, "eos_token_id": [2, 3] }));
    }
}

#[test]
fn llama() {
    check("llama");
    check("llama-rope-llama3-v4");
}

#[test]
fn mistral() {
    check("mistral");
}

#[test]
fn gpt2() {
    check("gpt2");
    check("gpt2-bare-names");
}

#[test]
fn opt() {
    check("opt");
}

#[test]
fn qwen2() {
    check("qwen2");
    check("qwen2-tied-v4");
}

#[test]
fn gpt_neox() {
    check("gpt_neox");
    check("gpt_neox-v4-config");
}

#[test]
fn a_return_says_nothing_of_the_run_that_made_it() {
    let house = House::of("llama").bundled(&[]);
    house.verb("tune", &[]).expect(0);
    let manifest = read(&house.path("run/return/manifest.json"));
    let body: Vec<&String> = manifest["body"].as_object().unwrap().keys().collect();
    // A digest of the private data would let the owner try whether a text was in it.
    assert_eq!(body, ["adapters", "bundle", "log", "trainable"]);
    // The data owner's own record knows all the same that nothing is to be done.
    let again = house.verb("tune", &[]).expect(0);
    assert!(again.stderr.contains("tune: up to date"), "{}", again.stderr);
    assert_eq!(read(&house.path("run/return/manifest.json")), manifest);
    let other = house.verb("tune", &["tune.steps=3"]).expect(0);
    assert!(!other.stderr.contains("tune: up to date"), "{}", other.stderr);
    assert_ne!(read(&house.path("run/return/manifest.json")), manifest);
}

#[test]
fn the_adapted_model_keeps_what_its_owner_wrote() {
    let house = House::of("llama").bundled(&[]);
    house.verb("tune", &[]).expect(0);
    let adapted = house.exported("plug-in");
    assert_eq!(read(&adapted.join("config.json")), read(&house.model().join("config.json")));
    let along = [
        "LICENSE",
        "added_tokens.json",
        "generation_config.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
    ];
    for name in along {
        assert_eq!(fs::read(adapted.join(name)).unwrap(), fs::read(house.model().join(name)).unwrap(), "{name}");
    }
    let expected: BTreeSet<String> =
        along.into_iter().chain(["config.json", "model.safetensors"]).map(str::to_owned).collect();
    assert_eq!(files_of(&adapted), expected);
}

#[test]
fn a_licence_goes_along_where_the_owner_says_so() {
    let house = House::of("opt");
    house.verb("importance", &[]).expect(0);
    house.verb("replace", &[]).expect(0);
    let without = house.verb("bundle", &[]).expect(0);
    let told = "bundle: LICENSE stays behind; bundle.include sends it, if the licence asks for it";
    assert!(without.stderr.contains(told), "{}", without.stderr);
    assert!(
        without.stderr.contains("bundle: the chat template goes along, with all that it prints"),
        "{}",
        without.stderr
    );
    assert!(!house.path("run/bundle/LICENSE").exists());
    let with = house.verb("bundle", &["bundle.include=[\"LICENSE\"]", "bundle.chat_template=false"]).expect(0);
    assert!(!with.stderr.contains("stays behind") && !with.stderr.contains("goes along"), "{}", with.stderr);
    let licence = fs::read(house.model().join("LICENSE")).unwrap();
    for folder in [house.path("run/bundle"), house.exported("emulator")] {
        assert_eq!(fs::read(folder.join("LICENSE")).unwrap(), licence);
        assert_eq!(read(&folder.join("tokenizer_config.json")).get("chat_template"), None);
    }
    scaleot(["verify", house.path("run/bundle").to_str().unwrap()]).expect(0);
    for name in ["config.json", "../config.toml", "model.safetensors", "none", "."] {
        let refused = house.verb("bundle", &[&format!("bundle.include=[\"{name}\"]")]);
        assert!([Some(3), Some(2)].contains(&refused.code), "{name}: {refused:?}");
        assert!(refused.stderr.contains("expected"), "{name}: {refused:?}");
    }
}

#[test]
fn a_bundle_that_its_receiver_refuses_is_not_written() {
    let house = House::of("llama");
    // One token more than the embedding has rows, which stands before every text.
    let path = house.model().join("tokenizer.json");
    let mut tokenizer = read(&path);
    tokenizer["added_tokens"] = json!([{ "id": 128, "content": "[TOO MANY]", "special": true, "single_word": false,
        "lstrip": false, "rstrip": false, "normalized": false }]);
    tokenizer["post_processor"] = json!({
        "type": "TemplateProcessing",
        "single": [{ "SpecialToken": { "id": "[TOO MANY]", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
        "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
        "special_tokens": { "[TOO MANY]": { "id": "[TOO MANY]", "ids": [128], "tokens": ["[TOO MANY]"] } },
    });
    fs::write(&path, tokenizer.to_string()).unwrap();
    house.verb("importance", &[]).expect(0);
    house.verb("replace", &[]).expect(0);
    let refused = house.verb("bundle", &[]).expect(3);
    assert!(refused.stderr.contains(&format!("error: {}: ", path.display())), "{}", refused.stderr);
    assert!(refused.stderr.contains("its post-processor gives id 128, expected one below 128"), "{}", refused.stderr);
    let left = files_of(&house.path("run"));
    assert!(!left.iter().any(|name| name.contains("bundle") || name.contains("ledger")), "{left:?}");
}
