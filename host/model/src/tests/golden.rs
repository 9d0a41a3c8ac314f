//! Parity with Hugging Face Transformers: logits and losses recorded in `tests/golden`.

use super::{golden, ids, largest_difference, load, next_token_targets, tests_folder};
use scaleot_data::PackedBatch;
use scaleot_tensor::no_grad;
use serde_json::Value;
use std::path::Path;

const TOLERANCE: f32 = 1e-4;

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

    let targets = next_token_targets(&batch);
    let log_probs = decoder.log_probs(&batch, &targets).unwrap();
    let nll: Vec<f32> = log_probs.iter().map(|v| -v).collect();
    let expected: Vec<Vec<f32>> = serde_json::from_value(golden["nll"].clone()).unwrap();
    let expected = expected.concat();
    let difference = largest_difference(&nll, &expected);
    assert!(difference < TOLERANCE, "{}: losses differ by {difference}", folder.display());

    let mean = expected.iter().sum::<f32>() / expected.len() as f32;
    let loss = decoder.loss(&batch, &targets, None).unwrap();
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
