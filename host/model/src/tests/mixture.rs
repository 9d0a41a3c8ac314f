//! Layer mixtures: substitutes, masks, and many candidates at once.

use super::{golden_model, next_token_targets};
use crate::{Decoder, LayerMask, ModuleRunner, Slot};
use scaleot_data::PackedBatch;
use scaleot_plugin_api::{Activation, Module};
use scaleot_tensor::{NormalStream, Tensor};

fn harmonizer(hidden: i64, seed: u64) -> ModuleRunner {
    let mut stream = NormalStream::new(seed, 0);
    let mut tensor = |shape: &[i64]| stream.tensor(shape, 0.3).unwrap();
    Module::harmonizer(tensor(&[4, hidden]), tensor(&[4]), tensor(&[hidden, 4]), tensor(&[hidden]))
}

/// The ci model has 8 layers; its substitutes are of every kind.
fn decoder_with_substitutes() -> Decoder {
    let folder = super::tests_folder().join("fixtures/ci-model");
    let mut decoder = super::load(&folder).decoder;
    decoder.substitutes = (0..8)
        .map(|slot| {
            Some(match slot % 3 {
                0 => Module::Identity,
                1 => harmonizer(64, slot),
                _ => Module::SharedWith { layer: 0 },
            })
        })
        .collect();
    decoder
}

fn loss(decoder: &Decoder, batch: &PackedBatch, mask: Option<&LayerMask>) -> f32 {
    decoder.loss(batch, &next_token_targets(batch), mask).unwrap().to_f64().unwrap() as f32
}

#[test]
fn shared_prefixes_give_the_losses_of_separate_runs() {
    let decoder = decoder_with_substitutes();
    let batch = PackedBatch::causal([&[50i64, 324, 70, 371, 275][..], &[287, 722, 714, 289, 26, 323]]);
    let masks: Vec<LayerMask> = [&[][..], &[3], &[3, 4], &[1, 7], &[7], &[0, 2, 5], &[3]]
        .iter()
        .map(|replaced| LayerMask::all_original(8).with_replaced(replaced))
        .collect();
    let together = decoder.losses(&batch, &next_token_targets(&batch), &masks).unwrap();
    for (mask, found) in masks.iter().zip(&together) {
        let expected = loss(&decoder, &batch, Some(mask));
        assert!((found - expected).abs() < 1e-5, "{mask:?}: {found} {expected}");
    }
    assert_eq!(together[1].to_bits(), together[6].to_bits());
    assert!((together[0] - loss(&decoder, &batch, None)).abs() < 1e-6);
}

#[test]
fn a_slot_that_is_a_module_equals_its_substitute() {
    let decoder = decoder_with_substitutes();
    let batch = PackedBatch::causal([&[50i64, 324, 70, 371, 275][..]]);
    for slot in [0, 1, 2, 7] {
        let mask = LayerMask::all_original(8).with_replaced(&[slot]);
        let mut replaced = decoder.clone();
        replaced.set(slot, Slot::Module(decoder.substitutes[slot].clone().unwrap())).unwrap();
        if slot == 0 {
            // Slot 2 is shared with slot 0, which is gone; slot 0 itself is an identity.
            assert!(replaced.layer(0).is_err());
        }
        let (a, b) = (loss(&decoder, &batch, Some(&mask)), loss(&replaced, &batch, None));
        assert!((a - b).abs() < 1e-6, "{slot}: {a} {b}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let mut decoder = decoder_with_substitutes();
    let batch = PackedBatch::causal([&[50i64, 324][..]]);
    let targets = next_token_targets(&batch);
    let short = LayerMask::all_original(7);
    let error = decoder.loss(&batch, &targets, Some(&short)).unwrap_err().to_string();
    assert_eq!(error, "batch: layers in the mask is 7, expected 8");
    decoder.substitutes.clear();
    let mask = LayerMask::all_original(8).with_replaced(&[5]);
    let error = decoder.losses(&batch, &targets, &[mask]).unwrap_err().to_string();
    assert_eq!(error, "layer 5: no substitute, expected an installed substitute, as the mask asks for it");
    let error = decoder.log_probs(&batch, &[(0, 1024)]).unwrap_err().to_string();
    assert_eq!(error, "batch: target is 1024, expected from 0 to 1023");
    let error = decoder.log_probs(&batch, &[(2, 1)]).unwrap_err().to_string();
    assert_eq!(error, "batch: row is 2, expected from 0 to 1");
}

#[test]
fn gradients_reach_a_substitute_through_frozen_layers() {
    let mut decoder = decoder_with_substitutes();
    let weight = |t: &Tensor| t.set_requires_grad(true).unwrap();
    let trainable = decoder.substitutes[1].clone().unwrap().try_map(&mut |t: Tensor| Ok::<_, ()>(weight(&t))).unwrap();
    decoder.substitutes[1] = Some(trainable.clone());
    let batch = PackedBatch::causal([&[50i64, 324, 70, 371, 275][..]]);
    let mask = LayerMask::all_original(8).with_replaced(&[1]);
    decoder.loss(&batch, &next_token_targets(&batch), Some(&mask)).unwrap().backward().unwrap();
    for tensor in trainable.tensors() {
        let gradient = tensor.grad().unwrap().unwrap();
        assert!(gradient.norm().unwrap().to_f64().unwrap() > 0.0);
    }
    let frozen = decoder.layer(0).unwrap().tensors()[0].grad().unwrap();
    assert!(frozen.is_none());
}

#[test]
fn an_activation_of_the_contract_is_ours() {
    let x = Tensor::from_f32(&[-1.0, 0.5], &[2]).unwrap();
    for activation in [Activation::Relu, Activation::Gelu, Activation::Silu, Activation::Tanh] {
        let ours = crate::host_activation(activation).unwrap();
        let expected = |x: f64| match activation {
            Activation::Relu => x.max(0.0),
            Activation::Gelu => 0.5 * x * (1.0 + if x < 0.0 { -0.682_689 } else { 0.382_925 }),
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::Tanh => x.tanh(),
            other => panic!("{other:?} is not tried here"),
        };
        let found = ours.apply(&x).unwrap().to_vec_f32().unwrap();
        for (found, x) in found.iter().zip([-1.0, 0.5]) {
            assert!((f64::from(*found) - expected(x)).abs() < 1e-5, "{activation:?}");
        }
    }
    let (_, ids) = golden_model("llama");
    assert_eq!(ids[0].len(), 12);
}

/// Every substitute shares its own layer, so under a mask the nearest layer that runs stands in, the deeper of two.
#[test]
fn a_share_of_a_replaced_layer_is_that_of_the_nearest_one() {
    let folder = super::tests_folder().join("fixtures/ci-model");
    let plain = super::load(&folder).decoder;
    let mut sharing = plain.clone();
    sharing.substitutes = (0..8).map(|layer| Some(Module::SharedWith { layer })).collect();
    let batch = PackedBatch::causal([&[50i64, 324, 70, 371, 275][..], &[287, 722, 714, 289, 26, 323]]);
    let cases = [
        (vec![3], vec![(3, 4)]),
        (vec![3, 4], vec![(3, 2), (4, 5)]),
        (vec![0, 1, 5, 6, 7], vec![(0, 2), (1, 2), (5, 4), (6, 4), (7, 4)]),
    ];
    let masks = cases.each_ref().map(|(replaced, _)| LayerMask::all_original(8).with_replaced(replaced));
    let together = sharing.losses(&batch, &next_token_targets(&batch), &masks).unwrap();
    for (((_, runs), mask), together) in cases.iter().zip(&masks).zip(together) {
        let mut by_hand = plain.clone();
        for &(slot, layer) in runs {
            by_hand.set(slot, Slot::Layer(Box::new(plain.layer(layer).unwrap().clone()))).unwrap();
        }
        let expected = loss(&by_hand, &batch, None);
        let alone = loss(&sharing, &batch, Some(mask));
        assert!((alone - expected).abs() < 1e-5 && (together - expected).abs() < 1e-5, "{mask:?}: {alone} {together}");
    }
}

#[test]
fn a_shared_slot_that_trains_is_shared_as_it_was_shipped() {
    let folder = super::tests_folder().join("fixtures/ci-model");
    let plain = super::load(&folder).decoder;
    let batch = PackedBatch::causal([&[50i64, 324, 70, 371, 275][..]]);
    let mut shared = plain.clone();
    shared.set(3, Slot::Module(Module::SharedWith { layer: 2 })).unwrap();
    shared.keep_shared_as_shipped().unwrap();
    let mut by_hand = plain.clone();
    by_hand.set(3, Slot::Layer(Box::new(plain.layer(2).unwrap().clone()))).unwrap();
    for decoder in [&mut shared, &mut by_hand] {
        let norm = decoder.layer_mut(2).unwrap().norm_mut(scaleot_plugin_api::WeightRole::NormMlp).unwrap();
        norm.weight = norm.weight.mul_scalar(0.5).unwrap();
    }
    let (found, expected) = (loss(&shared, &batch, None), loss(&by_hand, &batch, None));
    assert!((found - expected).abs() < 1e-6 && (found - loss(&plain, &batch, None)).abs() > 1e-4, "{found} {expected}");
}
