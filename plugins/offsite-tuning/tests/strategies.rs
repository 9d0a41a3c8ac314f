//! Offsite-Tuning's three strategies, used as the host uses them, against the published set-up.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used)]

use offsite_tuning::{
    DistilledDrop, DistilledDropOptions, FakeQuantise, FakeQuantiseOptions, LayerDrop, MagnitudePrune,
    MagnitudePruneOptions, NoOptions, OuterLayers, Scale, Uniform,
};
use scaleot_plugin_api::evenly_spaced;
use scaleot_plugin_api::{
    Adapter, AdapterPart, Compressor, ImportanceEstimator, ImportanceScores, LayerOutline, LayerReplacer, LayerRole,
    LayerWeights, Module, ObjectiveTerm, ReplaceRequest, Strategy, Trains, WeightForm, WeightOutline, WeightRole,
};
use scaleot_plugin_conformance::FakeHost;

fn plan(n_layers: usize, adapter_layers: Vec<usize>, replace_count: usize) -> Vec<LayerRole> {
    let scores = ImportanceScores::new(vec![0.0; n_layers]);
    let ask = ReplaceRequest::new(n_layers, adapter_layers, replace_count);
    LayerDrop::new(NoOptions {}).unwrap().select(&scores, &ask).unwrap().layers
}

fn kept(layers: &[LayerRole]) -> Vec<usize> {
    (0..layers.len()).filter(|&index| layers[index] == LayerRole::Keep).collect()
}

/// OPT-1.3B: 24 layers, two adapters at either end, eight of the twenty in the middle stay.
#[test]
fn the_published_emulator_of_opt_1_3b() {
    let layers = plan(24, vec![0, 1, 22, 23], 12);
    assert_eq!(kept(&layers), [2, 5, 7, 10, 13, 16, 18, 21]);
    assert_eq!(layers.iter().filter(|role| **role == LayerRole::Adapter).count(), 4);
}

#[test]
fn the_index_rule_on_uneven_adapters() {
    assert_eq!(kept(&plan(6, vec![2], 2)), [0, 3, 5], "positions 0, 2 and 4 of 0, 1, 3, 4, 5");
    assert_eq!(kept(&plan(6, vec![], 6)), Vec::<usize>::new());
    assert_eq!(kept(&plan(6, vec![0], 0)), [1, 2, 3, 4, 5]);
}

/// The first and the last are always kept, the number is right, and no position comes twice.
#[test]
fn the_index_rule_for_every_count() {
    for available in 2..=40 {
        for keep in 2..=available {
            let indices = evenly_spaced(available, keep);
            assert!(indices.is_sorted_by(|a, b| a < b), "{indices:?}");
            assert_eq!((indices.len(), indices.first(), indices.last()), (keep, Some(&0), Some(&(available - 1))));
        }
    }
}

#[test]
fn importance_is_uniform_and_substitutes_are_the_identity() {
    let mut fake = FakeHost::toy(5, 8);
    let scores = Uniform::new(NoOptions {}).unwrap().estimate(&mut fake.host()).unwrap();
    assert_eq!(scores.scores, [0.0; 5]);
    let layer = fake.outline().layers[2].clone();
    let substitute = LayerDrop::new(NoOptions {}).unwrap().substitute(&layer, &mut fake.host()).unwrap();
    assert!(matches!(substitute.module, Module::Identity) && !substitute.trainable);
    let adapter = OuterLayers::new(NoOptions {}).unwrap().attach(&layer).unwrap();
    assert_eq!(adapter.parts, [AdapterPart::WholeLayer]);
}

/// A compressor's form of one 2 x 4 matrix, and the energy that it reports as gone.
fn compressed(compressor: &mut dyn Compressor, values: [f32; 8]) -> (Vec<f32>, f64) {
    let mut fake = FakeHost::toy(1, 4);
    let (role, shape) = (WeightRole::MlpUp, vec![2, 4]);
    let weight = fake.host().from_f32(&values, &shape).unwrap();
    let weights = vec![WeightOutline::new(role, shape, false)];
    let mut layer = LayerWeights::new(LayerOutline::new(0, 4, weights), vec![(role, weight)]);
    let report = compressor.compress(&mut layer, &mut fake.host()).unwrap();
    let (_, WeightForm::Dense { weight }) = layer.into_changed().remove(0) else {
        panic!("a dense matrix stays dense")
    };
    let values = fake.host().to_f32(&weight).unwrap();
    (values, report.matrices[0].residual_energy)
}

#[test]
fn half_of_a_matrix_is_pruned_over_its_rows() {
    let mut pruner = MagnitudePrune::new(MagnitudePruneOptions::default()).unwrap();
    let (values, gone) = compressed(&mut pruner, [4.0, -3.0, 5.0, 6.0, 1.0, 2.0, -2.0, 1.0]);
    assert_eq!(values, [4.0, -3.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0], "one threshold for the whole matrix");
    assert!((gone - 10.0 / 96.0).abs() < 1e-12, "{gone}");
}

#[test]
fn three_bits_have_three_steps_to_either_side() {
    let values = [3.0, -1.2, 0.5, 1.5, 30.0, -14.9, 4.0, 0.0];
    let mut by_row = FakeQuantise::new(FakeQuantiseOptions { bits: 3, scale: Scale::Row }).unwrap();
    let (rounded, gone) = compressed(&mut by_row, values);
    assert_eq!(rounded, [3.0, -1.0, 0.0, 2.0, 30.0, -10.0, 0.0, 0.0], "steps of 1 and 10, ties to the even one");
    let squares: f32 = values.iter().map(|value| value * value).sum();
    let expected = (0.04 + 0.25 + 0.25 + 4.9 * 4.9 + 16.0) / f64::from(squares);
    assert!((gone - expected).abs() < 1e-6, "{gone} {expected}");
    let mut whole = FakeQuantise::new(FakeQuantiseOptions { bits: 3, scale: Scale::Tensor }).unwrap();
    assert_eq!(compressed(&mut whole, values).0, [0.0, 0.0, 0.0, 0.0, 30.0, -10.0, 0.0, 0.0], "one step of 10");
}

/// OPT-1.3B, 2-8-2: the emulator's last layer is 21, and the middle of the full model ends there.
#[test]
fn distillation_matches_the_end_of_the_middle() {
    let scores = ImportanceScores::new(vec![0.0; 24]);
    let ask = ReplaceRequest::new(24, vec![0, 1, 22, 23], 12);
    let mut replacer = DistilledDrop::new(DistilledDropOptions::default()).unwrap();
    assert_eq!(replacer.objective(), None, "no plan was asked for yet");
    let plan = replacer.select(&scores, &ask).unwrap();
    assert_eq!(kept(&plan.layers), [2, 5, 7, 10, 13, 16, 18, 21]);
    let objective = replacer.objective().unwrap();
    let matched = ObjectiveTerm::HiddenMatch { layer: 21, normalised: true };
    assert_eq!(objective.terms, [(1.0, ObjectiveTerm::NextToken), (30.0, matched)]);
    assert_eq!(objective.trains, Trains::KeptLayers);
}
