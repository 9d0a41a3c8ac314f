//! Soft prompts against the package `peft` (`tests/golden/make_soft_prompt.py`), and what must not change.

use super::{golden_model, largest_difference, tests_folder};
use crate::{Decoder, SoftPrompt};
use scaleot_data::PackedBatch;
use scaleot_tensor::{NormalStream, Tensor, no_grad};
use serde_json::Value;

fn recorded() -> Value {
    let text = std::fs::read(tests_folder().join("golden/llama/soft_prompt.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn with_prompts(decoder: &Decoder, golden: &Value) -> Decoder {
    let mut prompted = decoder.clone();
    let prompts: Vec<Vec<Vec<f32>>> = serde_json::from_value(golden["prompts"].clone()).unwrap();
    let gates: Vec<f32> = serde_json::from_value(golden["gates"].clone()).unwrap();
    for (slot, (prompt, gate)) in prompts.iter().zip(gates).enumerate() {
        let prompt = Tensor::from_f32(&prompt.concat(), &[prompt.len() as i64, 32]).unwrap();
        let gate = Tensor::from_f32(&[gate], &[1]).unwrap();
        prompted.layer_mut(slot).unwrap().prompt = Some(SoftPrompt { prompt, gate });
    }
    prompted
}

fn logits(decoder: &Decoder, ids: &[Vec<i64>], rows: &[usize]) -> Vec<f32> {
    let batch = PackedBatch::causal(ids.iter().map(Vec::as_slice));
    decoder.logits(&batch, rows).unwrap().to_vec_f32().unwrap()
}

#[test]
fn soft_prompts_give_the_numbers_of_peft() {
    let _guard = no_grad();
    let (golden, (model, ids)) = (recorded(), golden_model("llama"));
    let prompted = with_prompts(&model.decoder, &golden);
    let rows: Vec<usize> = (0..24).collect();
    let found = logits(&prompted, &ids, &rows);
    let expected: Vec<Vec<Vec<f32>>> = serde_json::from_value(golden["logits"].clone()).unwrap();
    let difference = largest_difference(&found, &expected.concat().concat());
    assert!(difference < 1e-4, "logits differ by {difference}");
    // Only some rows ask in the last layer: the same numbers.
    let some: Vec<f32> = [5, 23].iter().flat_map(|row| found[row * 128..(row + 1) * 128].to_vec()).collect();
    assert!(largest_difference(&logits(&prompted, &ids, &[5, 23]), &some) < 1e-4);
}

#[test]
fn a_gate_of_zero_changes_nothing() {
    let _guard = no_grad();
    let (model, ids) = golden_model("gpt_neox");
    let mut prompted = model.decoder.clone();
    let prompt = NormalStream::new(1, 0).tensor(&[4, 32], 1.0).unwrap();
    let gate = Tensor::from_f32(&[0.0], &[1]).unwrap();
    prompted.layer_mut(0).unwrap().prompt = Some(SoftPrompt { prompt, gate });
    let rows: Vec<usize> = (0..24).collect();
    assert_eq!(logits(&prompted, &ids, &rows), logits(&model.decoder, &ids, &rows));
}
