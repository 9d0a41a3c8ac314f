//! Every family through every stage: bundle, tune and plug-in, with compressed weights stored dense and in two factors.

use behaviour::bundle_file::read;
use behaviour::{model::deepened, repository, scaleot, scratch};
use std::path::Path;

/// A run on a model of four layers with random weights: two train, one of the two others is dropped.
fn run(golden: &str, storage: &str, folder: &Path) -> serde_json::Value {
    let model = folder.join("model");
    deepened(golden, 4, &model);
    let text = std::fs::read_to_string(repository().join("tests/fixtures/text/hellaswag-train.txt")).unwrap();
    let ascii: String = text.chars().filter(char::is_ascii).take(4000).collect();
    let text = folder.join("text.txt");
    std::fs::write(&text, ascii).unwrap();
    let config = folder.join("config.toml");
    std::fs::write(&config, config_text(folder, storage)).unwrap();
    scaleot(["run".as_ref(), config.as_os_str(), "--json".as_ref()]).expect(0).json()
}

fn config_text(folder: &Path, storage: &str) -> String {
    let folder = folder.display();
    format!(
        "version = 1\noutput = \"{folder}/run\"\n\
         [model]\npath = \"{folder}/model\"\n\
         [runtime]\nthreads = 1\n\
         [data]\ntext = [\"{folder}/text.txt\"]\nblock_length = 32\n\
         [replace]\ncount = 1\n\
         [compress]\nuse = \"scaleot/selective-rank\"\n\
         options = {{ rank_ratio = 0.4, storage = \"{storage}\", modules = \"both\" }}\n\
         [adapter]\nlayers = 2\n\
         [tune]\nlearning_rate = 1e-3\nsteps = 4\nbatch_size = 4\naccumulation = 1\n\
         [evaluate]\ntext = [\"{folder}/text.txt\"]\nlimit = 8\n"
    )
}

#[track_caller]
fn check(golden: &str) {
    let mut losses = Vec::new();
    for storage in ["dense", "factored"] {
        let folder = scratch();
        let report = run(golden, storage, folder.path());
        let row = &report["rows"][0]["figures"];
        let loss = |column: &str| row[column]["mean"].as_f64().unwrap_or_else(|| panic!("{column}: {report}"));
        // Random weights know nothing, but tuning on the text that is scored must help the emulator.
        assert!(loss("emulator_tuned") < loss("emulator"), "{golden}, {storage}: {row}");
        assert_ne!(loss("emulator"), loss("zero_shot"), "{golden}, {storage}");
        assert_ne!(loss("plug_in"), loss("zero_shot"), "{golden}, {storage}");
        let tensors = read(&folder.path().join("run/bundle/emulator.safetensors"));
        let factors = tensors.by_name.keys().filter(|name| name.ends_with(".left")).count();
        assert_eq!(factors > 0, storage == "factored", "{golden}, {storage}");
        losses.push([loss("zero_shot"), loss("emulator")]);
    }
    // The same weights, stored one way or the other.
    let [dense, factored] = [losses[0], losses[1]];
    assert_eq!(dense[0], factored[0], "{golden}");
    assert!((dense[1] - factored[1]).abs() < 1e-4 * dense[1], "{golden}: {dense:?} {factored:?}");
}

#[test]
fn llama() {
    check("llama");
}

#[test]
fn gpt2() {
    check("gpt2");
}

#[test]
fn opt() {
    check("opt");
}

#[test]
fn qwen2() {
    check("qwen2");
}

#[test]
fn gpt_neox() {
    check("gpt_neox");
}
