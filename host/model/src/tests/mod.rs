//! Tests of the model on the small golden models of `tests/golden`.

mod folder;
mod golden;
mod foreign_files;
mod mixture;
mod packing;
mod peft;
mod rope_sections;
mod soft_prompt;
mod training;
mod writing;

use super::Model;
use scaleot_data::PackedBatch;
use scaleot_tensor::{Device, Dtype, set_threads};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

/// A golden model's folder and what Transformers computed on it.
fn golden(name: &str) -> (PathBuf, Value) {
    let folder = tests_folder().join("golden").join(name);
    let text = std::fs::read(folder.join("golden.json")).unwrap();
    (folder, serde_json::from_slice(&text).unwrap())
}

fn ids(golden: &Value) -> Vec<Vec<i64>> {
    serde_json::from_value(golden["input_ids"].clone()).unwrap()
}

fn load(folder: &Path) -> Model {
    set_threads(1);
    Model::load(folder, Device::Cpu, Dtype::F32).unwrap()
}

/// A golden model and its two sequences of 12 ids.
fn golden_model(name: &str) -> (Model, Vec<Vec<i64>>) {
    let (folder, golden) = golden(name);
    (load(&folder), ids(&golden))
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Every token but the first of each sequence, given its prefix.
fn next_token_targets(batch: &PackedBatch) -> Vec<(usize, i64)> {
    let rows = |start: usize, len: usize| start..start + len - 1;
    let sequences = batch.sequences.iter();
    sequences.flat_map(|s| rows(s.start, s.len).map(|row| (row, batch.ids[row + 1]))).collect()
}

/// One model of each kind of attention, position and residual.
const FAMILIES: [&str; 6] = ["llama", "qwen2", "gpt2", "opt", "gpt_neox", "gpt_neox-sequential"];
