//! Model folders as people have them, through the program: the Hub's cache, files beside the weights, rotary keys of several
//! versions of Transformers, tokenizers with gaps, byte-order marks.
//!
//! Figures are nats a token of the first windows of a text of ASCII, on the golden models with a tokenizer of one token a
//! character: what Transformers 5.23 (fp32, eager attention) computes on the same folders, written down with seven digits.

use behaviour::model::tokenizer;
use behaviour::{Outcome, identity_of_stages, quick, repository, scaleot, scratch, verb};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const YARN: &str =
    r#"{"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}"#;
const LLAMA3: &str =
    r#"{"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}"#;
const LONGROPE: &str = r#"{"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.5, 2.0, 4.0],
    "long_factor": [1.0, 2.0, 3.0, 4.0], "original_max_position_embeddings": 32}"#;
const DYNAMIC: &str = r#"{"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}"#;
const LINEAR: &str = r#"{"type": "linear", "factor": 2.0}"#;
const HALF: &str = r#"{"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}"#;
const MOST: &str = r#"{"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.9}"#;
const PROPORTIONAL: &str = r#"{"rope_type": "proportional", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}"#;

/// A golden model with a tokenizer, and a text beside it.
struct Folder {
    scratch: tempfile::TempDir,
}

impl Folder {
    fn new(golden: &str) -> Self {
        let folder = Self { scratch: scratch() };
        let from = repository().join("tests/golden").join(golden);
        fs::create_dir(folder.model()).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            fs::copy(entry.path(), folder.model().join(entry.file_name())).unwrap();
        }
        folder.write("tokenizer.json", tokenizer().to_string());
        let text = fs::read_to_string(repository().join("tests/fixtures/text/hellaswag-train.txt")).unwrap();
        let ascii: String = text.chars().filter(char::is_ascii).take(4000).collect();
        fs::write(folder.text(), ascii).unwrap();
        folder
    }

    fn model(&self) -> PathBuf {
        self.scratch.path().join("model")
    }

    fn text(&self) -> PathBuf {
        self.scratch.path().join("text.txt")
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.model().join(name), bytes).unwrap();
    }

    fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut value: Value = serde_json::from_slice(&fs::read(self.model().join(name)).unwrap()).unwrap();
        change(&mut value);
        self.write(name, value.to_string());
    }

    fn set(&self, key: &str, value: &str) {
        self.edit("config.json", |config| config[key] = serde_json::from_str(value).unwrap());
    }

    fn evaluate(&self) -> Outcome {
        evaluate(&self.model(), &self.text())
    }

    #[track_caller]
    fn expect(&self, nll: f64) {
        let found = self.evaluate().expect(0).json()["nll"].as_f64().unwrap();
        assert!((found - nll).abs() < 2e-5, "found {found}, expected {nll}");
    }

    #[track_caller]
    fn refused(&self) -> String {
        let error = self.evaluate().expect(3).stderr;
        error.replace(self.scratch.path().to_str().unwrap(), "DIR")
    }
}

fn evaluate(model: &Path, text: &Path) -> Outcome {
    let (model, text) = (model.to_str().unwrap(), text.to_str().unwrap());
    scaleot(["evaluate", "--json", "--model", model, "--text", text, "--limit", "5", "--threads", "1"])
}

#[test]
fn rotary_keys_give_the_figures_of_transformers() {
    for (golden, old, new, nll) in [
        ("llama", "null", "", 5.562_778),
        // Both sections: the old one is read.
        ("llama", LINEAR, "", 5.505_588),
        ("llama", "null", YARN, 5.541_189),
        ("llama", "null", LLAMA3, 5.509_625),
        ("llama", "null", HALF, 5.562_778),
        ("llama", "null", DYNAMIC, 5.562_778),
        // Windows of 32 tokens, for which the short factors hold.
        ("llama", "null", LONGROPE, 5.511_224),
        ("gpt_neox", "null", "", 5.636_807),
        ("gpt_neox", "null", MOST, 5.607_898),
        ("gpt_neox", LINEAR, "", 5.642_042),
        ("qwen2", "null", YARN, 5.494_201),
        ("mistral", "null", PROPORTIONAL, 5.479_608),
    ] {
        let folder = Folder::new(golden);
        folder.set("rope_scaling", old);
        if !new.is_empty() {
            folder.set("rope_parameters", new);
        }
        folder.expect(nll);
    }
}

/// The layout of `huggingface_hub`: `snapshots/<revision>/` of relative links to `../../blobs/<digest>`.
fn hub_cache(model: &Path, root: &Path) -> PathBuf {
    let (blobs, snapshot) = (root.join("blobs"), root.join("snapshots/0123abc"));
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    for entry in fs::read_dir(model).unwrap().map(Result::unwrap) {
        let blob = behaviour::tree::digest(&fs::read(entry.path()).unwrap());
        fs::copy(entry.path(), blobs.join(&blob)).unwrap();
        symlink(format!("../../blobs/{blob}"), snapshot.join(entry.file_name())).unwrap();
    }
    snapshot
}

#[test]
fn a_snapshot_of_the_hubs_cache_is_the_plain_folder() {
    for (golden, nll) in [("llama", 5.562_778), ("llama-untied-sharded", 5.236_701), ("opt", 5.692_629)] {
        let folder = Folder::new(golden);
        folder.expect(nll);
        let snapshot = hub_cache(&folder.model(), &folder.scratch.path().join("models--x"));
        let found = evaluate(&snapshot, &folder.text()).expect(0).json()["nll"].as_f64().unwrap();
        assert!((found - nll).abs() < 2e-5, "{golden}: {found}");
    }
    let scratch = scratch();
    let output = scratch.path().join("run");
    let snapshot = hub_cache(&repository().join("tests/fixtures/ci-model"), &scratch.path().join("models--x"));
    let path = format!("model.path={}", snapshot.display());
    let run = |verb_: &str, more: &[&str]| verb(verb_, &output, &[&[path.as_str()], more].concat()).expect(0);
    run("plan", &[]);
    run("run", &[]);
    let linked = identity_of_stages(&output);
    assert_eq!(linked, identity_of_stages(behaviour::finished_run()));
    // The same run on the plain folder finds every stage done.
    verb("run", &output, &[]).expect(0);
    assert_eq!(identity_of_stages(&output), linked);
    let exported = scratch.path().join("exported");
    run("export", &["--to", exported.to_str().unwrap()]);
    assert!(fs::symlink_metadata(exported.join("tokenizer.json")).unwrap().is_file());
}

#[test]
fn a_link_to_nothing_is_an_unfinished_download() {
    let folder = Folder::new("llama");
    let snapshot = hub_cache(&folder.model(), &folder.scratch.path().join("models--x"));
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        let target = fs::read_link(snapshot.join(name)).unwrap();
        fs::rename(snapshot.join(&target), snapshot.join("kept")).unwrap();
        let error = evaluate(&snapshot, &folder.text()).expect(3).stderr;
        let said = format!("{name}: a link to {}, where nothing is", target.display());
        assert!(error.contains(&said) && error.contains("download is unfinished"), "{error}");
        fs::rename(snapshot.join("kept"), snapshot.join(&target)).unwrap();
    }
}

#[test]
fn files_beside_the_weights_change_nothing() {
    let shard = "model-00001-of-00003.safetensors";
    let folder = Folder::new("llama-untied-sharded");
    for name in ["consolidated.safetensors", "adapter_model.safetensors", "pytorch_model.bin", "model-q4.gguf"] {
        fs::copy(folder.model().join(shard), folder.model().join(name)).unwrap();
    }
    fs::create_dir(folder.model().join("onnx")).unwrap();
    folder.expect(5.236_701);

    let scratch = scratch();
    let (output, model) = (scratch.path().join("run"), scratch.path().join("model"));
    behaviour::copy(&repository().join("tests/fixtures/ci-model"), &model);
    let path = format!("model.path={}", model.display());
    verb("run", &output, &[&path]).expect(0);
    let before = identity_of_stages(&output);
    let costs = fs::read(output.join("costs.json")).unwrap();
    for name in ["adapter_model.safetensors", "consolidated.safetensors", "README.md", "preprocessor_config.json"] {
        fs::copy(model.join("model.safetensors"), model.join(name)).unwrap();
    }
    verb("run", &output, &[&path]).expect(0);
    assert_eq!(identity_of_stages(&output), before);
    assert_eq!(fs::read(output.join("costs.json")).unwrap(), costs, "a stage ran again");

    // The file that names the end token is felt by what reads texts with the owner's tokenizer.
    fs::write(model.join("tokenizer_config.json"), "{\"eos_token\": \"!\"}").unwrap();
    verb("run", &output, &[&path]).expect(0);
    let after = identity_of_stages(&output);
    for stage in ["bundle", "evaluate-zero-shot", "evaluate-plug-in"] {
        assert_ne!(after[stage], before[stage], "{stage}");
    }
}

#[test]
fn an_export_has_the_companions_of_today() {
    let scratch = scratch();
    let (output, model) = (scratch.path().join("run"), scratch.path().join("model"));
    behaviour::copy(&repository().join("tests/fixtures/ci-model"), &model);
    let path = format!("model.path={}", model.display());
    let run = || verb("run", &output, &[path.as_str(), "plug_in.export=true"]).expect(0);
    let written = || fs::read_to_string(output.join("plug_in/generation_config.json"));
    run();
    assert!(written().is_err());
    for text in ["{\"temperature\": 1.0}", "{\"temperature\": 0.5}"] {
        fs::write(model.join("generation_config.json"), text).unwrap();
        run();
        assert_eq!(written().unwrap(), text);
    }
}

#[test]
fn a_tokenizer_may_have_gaps_and_tokens_that_nothing_uses() {
    let folder = Folder::new("llama");
    // `e` to `l` are unknown now: the token of id 0 stands for them.
    folder.edit("tokenizer.json", |tokenizer| {
        let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
        (101..109_u8).for_each(|code| drop(vocabulary.remove(&char::from(code).to_string())));
    });
    folder.expect(HOLES);
    folder.write("tokenizer.json", with_pad(128).to_string());
    folder.expect(5.562_778);
    let text = fs::read_to_string(folder.text()).unwrap();
    fs::write(folder.text(), format!("{}[PAD] and more{}", &text[..100], &text[100..])).unwrap();
    let error = folder.refused();
    let excerpt = format!("\"{}[PAD] and more", &text[76..100]);
    assert!(error.contains(&excerpt), "{error}");
    assert!(error.contains("the token \"[PAD]\" has id 128, but the model's embedding has 128 rows."), "{error}");
}

/// By Transformers on the same weights, with id 0 in the place of the eight characters.
const HOLES: f64 = 5.649_206;

fn with_pad(id: u64) -> Value {
    let mut value = tokenizer();
    value["added_tokens"] = json!([{
        "id": id, "content": "[PAD]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": true,
    }]);
    value
}

/// The data owner's side checks the tokenizer of a bundle as the owner's side does that of the model.
#[test]
fn a_bundle_with_such_a_tokenizer_is_taken() {
    let scratch = scratch();
    let model = scratch.path().join("model");
    behaviour::copy(&repository().join("tests/fixtures/ci-model"), &model);
    let path = model.join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let token = |id: u64, content: &str| {
        json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true })
    };
    tokenizer["added_tokens"].as_array_mut().unwrap().push(token(1024, "[PAD]"));
    fs::write(&path, [b"\xef\xbb\xbf", tokenizer.to_string().as_bytes()].concat()).unwrap();
    let output = scratch.path().join("run");
    let mut arguments = vec!["run".to_owned(), behaviour::CONFIG.to_owned()];
    arguments.extend(quick(&output));
    arguments.push(format!("model.path={}", model.display()));
    scaleot(&arguments).expect(0);
    scaleot(["verify".as_ref(), output.join("bundle").as_os_str()]).expect(0);
}

fn mark(path: &Path) {
    fs::write(path, [b"\xef\xbb\xbf".as_slice(), &fs::read(path).unwrap()].concat()).unwrap();
}

#[test]
fn byte_order_marks_are_left_out() {
    let folder = Folder::new("llama-untied-sharded");
    folder.write("tokenizer_config.json", "{\"eos_token\": \"!\", \"x\": NaN}");
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors.index.json"] {
        mark(&folder.model().join(name));
        folder.expect(5.236_701);
    }
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors.index.json"] {
        let kept = fs::read(folder.model().join(name)).unwrap();
        let wide: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        folder.write(name, wide);
        let expected = format!("DIR/model/{name}: found UTF-16, expected UTF-8; save the file as UTF-8");
        assert!(folder.refused().contains(&expected), "{}", folder.refused());
        folder.write(name, kept);
    }
}

#[test]
fn the_vocabulary_of_another_tokenizer_is_no_tokenizer() {
    let folder = Folder::new("gpt2");
    folder.expect(5.367_559);
    fs::remove_file(folder.model().join("tokenizer.json")).unwrap();
    folder.write("vocab.json", "{}");
    folder.write("merges.txt", "");
    let advice = "DIR/model/tokenizer.json: not there, but vocab.json is. Make it with Transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)";
    assert!(folder.refused().contains(advice), "{}", folder.refused());
}
