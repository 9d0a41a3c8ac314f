//! Limits of a delta, on small layers whose sizes are known.

use super::*;
use crate::artefacts::write_tensors;
use scaleot_model::{Model, WeightForm};
use scaleot_plugin_api::{AdapterPart, WeightRole};
use scaleot_store::{ManifestHead, RunDir};
use scaleot_tensor::{Device, Dtype};

/// The golden model; in its first layer every matrix is 0.5, every norm weight 2, and the first bias (if any) zero.
fn decoder(family: &str, value: f64) -> Decoder {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(family);
    let mut decoder = Model::load(&folder, Device::Cpu, Dtype::F32).unwrap().decoder;
    let layer = decoder.layer_mut(0).unwrap();
    let full = |like: &Tensor, value: f64| Tensor::full(&like.shape(), value, Dtype::F32, Device::Cpu).unwrap();
    for role in WeightRole::ALL {
        if let Some(projection) = layer.projection_mut(role) {
            projection.weight = WeightForm::Dense(full(&projection.weight.dense().unwrap(), value));
            projection.bias = projection.bias.as_ref().map(|bias| full(bias, 0.0));
        } else if let Some(norm) = layer.norm_mut(role) {
            norm.weight = full(&norm.weight, 4.0 * value);
            norm.bias = norm.bias.as_ref().map(|bias| full(bias, 0.0));
        }
    }
    decoder
}

/// Measures a return in which the tensor `of` is `value` everywhere and every other one is zero.
fn measured(decoder: &Decoder, part: AdapterPart, of: &str, value: f64) -> Result<ReturnCheck, StageError> {
    let shipped = shipped_parameters(decoder, &[(0, AdapterModule::new(vec![part]))]).unwrap();
    let tensors = shipped[0].1.iter().map(|parameter| {
        let value = if parameter.name == of { value } else { 0.0 };
        let shape = parameter.tensor.shape();
        (parameter.name.clone(), Tensor::full(&shape, value, Dtype::F32, Device::Cpu).unwrap())
    });
    let tensors = tensors.collect::<Vec<_>>();
    assert!(tensors.iter().any(|(name, _)| name == of), "{of}");
    let folder = tempfile::tempdir().unwrap();
    let run = RunDir::open(&folder.path().join("run"), None).unwrap();
    let mut stage = run.stage("return").unwrap();
    write_tensors(&mut stage, "adapter.safetensors", &tensors).unwrap();
    let done = stage.commit(ManifestHead { format: "test/return", version: 1 }, &()).unwrap();
    let file = TensorFile::open(&done.file("adapter.safetensors").unwrap()).unwrap();
    check_names(&file, &shipped).unwrap();
    measure(&file, &shipped, &LayerScale::of(decoder, &[0]).unwrap(), 1.0)
}

const BIAS: &str = "slots.0.attention.q.bias";
const NORM_BIAS: &str = "slots.0.norm.attention.bias";

/// The gpt2 folder has `hidden` 32: an output of matrices of 0.5 has `0.5 √columns`; `columns` is 32, and 128 for `mlp.down`, so
/// the mean square over the six matrices is `0.25 (5 · 32 + 128) / 6 = 12`, and the scale of a bias `√12 = 3.46` a value.
#[test]
fn a_zero_bias_is_measured_by_what_it_is_added_to() {
    let decoder = decoder("gpt2", 0.5);
    let hidden = decoder.config.hidden as f64;
    let inner = decoder.config.intermediate as f64;
    let expected = (0.25 * (5.0 * hidden + inner) / 6.0).sqrt();
    for part in [AdapterPart::BiasOnly, AdapterPart::WholeLayer] {
        let check = measured(&decoder, part.clone(), BIAS, 0.5 * expected).unwrap();
        assert!((check.largest_ratio.0 - 0.5).abs() < 1e-6, "{check:?}");
        let refused = measured(&decoder, part, BIAS, 1.01 * expected).unwrap_err().to_string();
        assert!(refused.contains(BIAS) && refused.contains("/ the scale of its layer = 1.0100"), "{refused}");
        assert!(refused.len() < 400, "{refused}");
    }
    // A norm's bias by the norm's weights, 2.
    assert!((measured(&decoder, AdapterPart::BiasOnly, NORM_BIAS, 1.0).unwrap().largest_ratio.0 - 0.5).abs() < 1e-6);
    assert!(measured(&decoder, AdapterPart::BiasOnly, NORM_BIAS, 2.1).is_err());
}

#[test]
fn a_huge_delta_is_refused_in_any_tensor_and_told_as_a_number() {
    for (value, of) in [(0.5, BIAS), (0.0, BIAS), (0.0, "slots.0.mlp.up.weight"), (0.5, "slots.0.mlp.up.weight")] {
        let decoder = decoder("gpt2", value);
        for huge in [1e4, 3e38] {
            let refused = measured(&decoder, AdapterPart::WholeLayer, of, huge).unwrap_err().to_string();
            assert!(refused.contains(of) && refused.contains("plug_in.max_delta_ratio"), "{refused}");
            assert!(refused.len() < 400 && !refused.contains("inf"), "{refused}");
        }
    }
}

/// The second layer of the model says what is usual where the first is all zero.
#[test]
fn a_layer_of_zeros_is_measured_by_the_model() {
    let check = measured(&decoder("gpt2", 0.0), AdapterPart::WholeLayer, "slots.0.mlp.up.weight", 1e-3).unwrap();
    assert!(check.largest_ratio.0 > 0.0 && check.largest_ratio.0 < 1.0, "{check:?}");
    assert!(check.delta_norm > 0.0);
}

#[test]
fn figures_are_numbers() {
    let told = [0.0, 0.5, 12_345.678, 1e300, 3.2e-9].map(figure);
    assert_eq!(told, ["0.0000", "0.5000", "12345.6780", "1.000e300", "3.200e-9"]);
}
