//! Low-rank deltas written for the package `peft`: on a fused module the one pair is the sum of its projections' pairs.

use super::{golden_model, largest_difference};
use crate::{Decoder, LowRankDelta, WeightRole, write_peft_folder};
use scaleot_store::{Dtype, check_safetensors};
use scaleot_tensor::Tensor;
use serde_json::Value;
use std::path::Path;

/// Entries that differ, none of them zero.
fn filled(rows: i64, cols: i64, first: f32) -> Tensor {
    let values: Vec<f32> = (0..rows * cols).map(|i| first + 0.01 * ((i * 7 % 23) as f32 - 11.5)).collect();
    Tensor::from_f32(&values, &[rows, cols]).unwrap()
}

/// A tensor of a file, by its bytes.
fn tensor(path: &Path, name: &str) -> Tensor {
    let index = check_safetensors(path).unwrap();
    let entry = index.get(name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(entry.dtype, Dtype::F32);
    let bytes = std::fs::read(path).unwrap();
    let values: Vec<f32> =
        bytes[entry.range().unwrap()].chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    let shape: Vec<i64> = entry.shape.iter().map(|&size| size as i64).collect();
    Tensor::from_f32(&values, &shape).unwrap()
}

fn weight(decoder: &Decoder, name: &str) -> Tensor {
    decoder.named_tensors().unwrap().into_iter().find(|(other, _)| other == name).unwrap().1
}

/// `deltas` on layer 1: rank and scale by role.
#[track_caller]
fn check(family: &str, module: &str, deltas: &[(WeightRole, i64, f64)], transposed: bool) {
    let (model, _) = golden_model(family);
    let mut decoder = model.decoder;
    let name = format!("{module}.weight");
    let before = weight(&decoder, &name);
    let mut rank = 0;
    for (index, &(role, own, scale)) in deltas.iter().enumerate() {
        let [rows, cols] = decoder.config.shape(role)[..] else { panic!() };
        let first = 0.1 * (index + 1) as f32;
        let delta = LowRankDelta { a: filled(own, cols, first), b: filled(rows, own, -first), scale };
        decoder.layer_mut(1).unwrap().projection_mut(role).unwrap().delta = Some(delta);
        rank += own;
    }
    let folder = tempfile::tempdir().unwrap();
    write_peft_folder(&decoder, folder.path(), "base").unwrap();
    let config: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("adapter_config.json")).unwrap()).unwrap();
    assert_eq!(config["rank_pattern"], serde_json::json!({ module: rank }), "{family}");
    assert_eq!(config["target_modules"], serde_json::json!([module]));
    assert_eq!(config["fan_in_fan_out"], transposed);
    let scale = config["alpha_pattern"][module].as_f64().unwrap() / rank as f64;
    let part = |part: &str| {
        tensor(&folder.path().join("adapter_model.safetensors"), &format!("base_model.model.{module}.{part}.weight"))
    };
    let product = part("lora_B").matmul(&part("lora_A")).unwrap().mul_scalar(scale).unwrap();
    let product = if transposed { product.transpose(0, 1).unwrap() } else { product };
    let expected = before.add(&product).unwrap().to_vec_f32().unwrap();
    // What the exported plug-in model has: every projection's own `W + scale B A`, laid together afterwards.
    let merged = weight(&decoder, &name).to_vec_f32().unwrap();
    assert!(largest_difference(&merged, &expected) < 1e-5, "{family}");
    assert!(largest_difference(&merged, &before.to_vec_f32().unwrap()) > 1e-2, "{family}: a delta that does nothing");
}

#[test]
fn one_pair_for_a_fused_module() {
    let (q, k, v) = (WeightRole::AttentionQ, WeightRole::AttentionK, WeightRole::AttentionV);
    for (family, module, transposed) in [
        ("gpt2", "transformer.h.1.attn.c_attn", true),
        ("gpt2-bare-names", "transformer.h.1.attn.c_attn", true),
        ("gpt_neox", "gpt_neox.layers.1.attention.query_key_value", false),
    ] {
        check(family, module, &[(q, 2, 8.0), (k, 2, 8.0), (v, 2, 8.0)], transposed);
        // Ranks and scales of their own, one that does nothing, one without a delta.
        check(family, module, &[(q, 1, 0.0), (k, 3, 2.0), (v, 2, 0.5)], transposed);
        check(family, module, &[(v, 3, 1.5)], transposed);
    }
    check("gpt2", "transformer.h.1.mlp.c_fc", &[(WeightRole::MlpUp, 2, 4.0)], true);
    check("llama", "model.layers.1.self_attn.q_proj", &[(q, 2, 4.0)], false);
}

#[test]
fn a_decoder_without_a_delta_is_refused() {
    let (model, _) = golden_model("gpt2");
    let folder = tempfile::tempdir().unwrap();
    let error = write_peft_folder(&model.decoder, folder.path(), "base").unwrap_err().to_string();
    let expected =
        "low-rank deltas, such as peft/lora trains; the layout of `peft` has no place for anything else here";
    assert_eq!(error, format!("layer 0: no low-rank delta, in this layer or another, expected {expected}"));
}
