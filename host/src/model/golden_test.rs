//! Parity with Hugging Face Transformers: logits and losses recorded in `tests/golden`.

use super::{Model, PackedBatch};
use crate::tensor::{Device, Dtype, Tensor, no_grad, set_threads};
use serde_json::Value;
use std::path::{Path, PathBuf};

const TOLERANCE: f32 = 1e-4;

pub(super) fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests")
}

pub(super) fn golden(name: &str) -> (PathBuf, Value) {
    let folder = tests_folder().join("golden").join(name);
    let text = std::fs::read(folder.join("golden.json")).unwrap();
    (folder, serde_json::from_slice(&text).unwrap())
}

pub(super) fn ids(golden: &Value) -> Vec<Vec<i64>> {
    serde_json::from_value(golden["input_ids"].clone()).unwrap()
}

pub(super) fn load(folder: &Path) -> Model {
    set_threads(1);
    Model::load(folder, Device::Cpu, Dtype::F32).unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// All logits, and the loss of every next token, of all sequences in one pack.
fn check_folder(folder: &Path, golden: &Value) {
    let decoder = load(folder).decoder;
    let _guard = no_grad();
    let sequences = ids(golden);
    let batch = PackedBatch::causal(sequences.iter().map(Vec::as_slice));
    let rows: Vec<usize> = (0..batch.tokens()).collect();
    let logits = decoder.logits(&batch, &rows).unwrap().to_vec_f32().unwrap();
    let expected: Vec<Vec<Vec<f32>>> = serde_json::from_value(golden["logits"].clone()).unwrap();
    let difference = largest_difference(&logits, &expected.concat().concat());
    assert!(difference < TOLERANCE, "{}: logits differ by {difference}", folder.display());

    let mut targets = Vec::new();
    for sequence in &batch.sequences {
        let rows = sequence.start..sequence.start + sequence.len - 1;
        targets.extend(rows.map(|row| (row, batch.ids[row + 1])));
    }
    let log_probs = decoder.log_probs(&batch, &targets).unwrap();
    let nll: Vec<f32> = log_probs.iter().map(|v| -v).collect();
    let expected: Vec<Vec<f32>> = serde_json::from_value(golden["nll"].clone()).unwrap();
    let expected = expected.concat();
    let difference = largest_difference(&nll, &expected);
    assert!(difference < TOLERANCE, "{}: losses differ by {difference}", folder.display());

    let mean = expected.iter().sum::<f32>() / expected.len() as f32;
    let loss: Tensor = decoder.loss(&batch, &targets, None).unwrap();
    assert!((loss.to_f64().unwrap() as f32 - mean).abs() < TOLERANCE);
}

#[test]
fn every_golden_model_gives_the_numbers_of_transformers() {
    let mut seen = 0;
    for entry in std::fs::read_dir(tests_folder().join("golden")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !tests_folder().join("golden").join(&name).join("config.json").exists() {
            continue;
        }
        let (folder, golden) = golden(&name);
        check_folder(&folder, &golden);
        seen += 1;
    }
    assert!(seen >= 15, "only {seen} golden models found");
}

#[test]
fn the_ci_model_gives_the_numbers_of_transformers() {
    let (_, golden) = golden("ci-model");
    check_folder(&tests_folder().join("fixtures/ci-model"), &golden);
}
