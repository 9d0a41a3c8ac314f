//! Layer statistics against computations of their own: gradients of attached layers, finite differences, emptied layers.

use super::*;
use crate::training::attach;
use scaleot_data::PackedBatch;
use scaleot_data::TrainingBatch;
use scaleot_model::{Decoder, Model};
use scaleot_plugin_api::{AdapterModule, AdapterPart};
use scaleot_tensor::{Device, Dtype};
use std::path::Path;

fn ci_model() -> Decoder {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/ci-model");
    Model::load(&folder, Device::Cpu, Dtype::F32).unwrap().decoder
}

fn batch() -> TrainingBatch {
    let batch = PackedBatch::causal([&[50_i64, 324, 70, 371, 275][..], &[287, 722, 714, 289, 26, 323]]);
    let targets = vec![(0, 324), (1, 70), (2, 371), (3, 275), (5, 722), (6, 714), (7, 289), (8, 26), (9, 323)];
    TrainingBatch { batch, targets }
}

fn statistic(decoder: &Decoder, statistic: LayerStatistic) -> Vec<f64> {
    layer_statistics(decoder, &batch(), statistic).unwrap()
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-4 * expected.abs()
}

#[test]
fn the_first_order_term_is_that_of_the_gradients() {
    let decoder = ci_model();
    let found = statistic(&decoder, LayerStatistic::TaylorImportance);
    assert_eq!(found.len(), 8);
    let mut trained = decoder.clone();
    let whole = AdapterModule::new(vec![AdapterPart::WholeLayer]);
    let parameters = attach(&mut trained, 3, &whole, 0).unwrap();
    let TrainingBatch { batch, targets } = batch();
    trained.loss(&batch, &targets, None).unwrap().backward().unwrap();
    let mut expected = 0.0;
    for parameter in parameters.iter().filter(|parameter| !parameter.name.contains("norm")) {
        let weights = parameter.tensor.detach().unwrap().to_vec_f64().unwrap();
        let gradients = parameter.tensor.grad().unwrap().unwrap().to_vec_f64().unwrap();
        expected += weights.iter().zip(&gradients).map(|(w, g)| (w * g).abs()).sum::<f64>();
    }
    assert!(close(found[3], expected), "{} {expected}", found[3]);
}

/// A matrix of zeros but for one value `w` scores `|w (L(w + e) - L(w - e)) / 2e|`.
#[test]
fn a_single_weight_scores_its_finite_difference() {
    let mut decoder = ci_model();
    let shape = decoder.layer(5).unwrap().o.weight.dense().unwrap().shape();
    let lone = |value: f32| {
        let mut values = vec![0.0; (shape[0] * shape[1]) as usize];
        values[77] = value;
        Tensor::from_f32(&values, &shape).unwrap()
    };
    let mut loss = |weight: Tensor| {
        decoder.layer_mut(5).unwrap().o.weight = WeightForm::Dense(weight);
        decoder.loss(&batch().batch, &batch().targets, None).unwrap()
    };
    let slope = (loss(lone(3.0)).to_f64().unwrap() - loss(lone(1.0)).to_f64().unwrap()) / 2.0;
    let leaf = lone(2.0).set_requires_grad(true).unwrap();
    loss(leaf.clone()).backward().unwrap();
    let (found, expected) = (first_order(&leaf).unwrap(), (2.0 * slope).abs());
    assert!(expected > 1e-5 && (found - expected).abs() < 0.02 * expected, "{found} {expected}");
}

#[test]
fn coarser_weights_cost_what_they_change() {
    let decoder = ci_model();
    let pruned = |percent| statistic(&decoder, LayerStatistic::PrunedOutputError { percent });
    let rounded = |bits| statistic(&decoder, LayerStatistic::RoundedOutputError { bits });
    assert!(pruned(0).iter().chain(&rounded(24)).all(|error| *error < 1e-8), "{:?} {:?}", pruned(0), rounded(24));
    // Without any weight a layer of this family is the identity: the error is the mean square of what the layer adds.
    let states = decoder.layer_states(&batch().batch).unwrap();
    for (layer, found) in pruned(100).into_iter().enumerate() {
        let (input, output) = (states[layer].to_vec_f64().unwrap(), states[layer + 1].to_vec_f64().unwrap());
        let squares: f64 = input.iter().zip(&output).map(|(x, y)| (y - x).powi(2)).sum();
        assert!(close(found, squares / input.len() as f64), "layer {layer}: {found}");
    }
    let rising = [pruned(10), pruned(50), pruned(90)].map(|errors| errors.iter().sum::<f64>());
    assert!(rising.is_sorted(), "{rising:?}");
    let falling = [rounded(8), rounded(4), rounded(2)].map(|errors| errors.iter().sum::<f64>());
    assert!(falling.is_sorted(), "{falling:?}");
}
