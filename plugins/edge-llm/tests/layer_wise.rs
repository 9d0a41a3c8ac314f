//! Layer-wise pruning and bits: literals of both rules, and what becomes of the weights.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used)]

use edge_llm::{LayerWise, LayerWiseOptions, bits_per_layer, shares_per_layer};
use scaleot_plugin_api::services;
use scaleot_plugin_api::{Compressor, Strategy, WeightForm};
use scaleot_plugin_conformance::FakeHost;

#[test]
fn shares_are_those_of_the_published_rule() {
    // Scaled: 0, 0.25, 0.75, 1; robust 1, 0.75, 0.25, 0 of 2 in all; times 0.5 of 4 layers.
    assert_eq!(shares_per_layer(&[3.0, 4.0, 6.0, 7.0], 0.5), [0.95, 0.75, 0.25, 0.0], "the first would be 1");
    assert_eq!(shares_per_layer(&[3.0, 4.0, 6.0, 7.0], 0.2), [0.4, 0.30000000000000004, 0.1, 0.0]);
    assert_eq!(shares_per_layer(&[2.0, 2.0], 0.5), [0.5, 0.5]);
}

#[test]
fn sensitive_layers_get_more_bits() {
    // Scaled: 0, 0.5, 1, mean 0.5.
    assert_eq!(bits_per_layer(&[1.0, 2.0, 3.0], 4, 2.0), [3, 4, 5]);
    assert_eq!(bits_per_layer(&[1.0, 2.0, 3.0], 2, 2.0), [2, 2, 3], "never fewer than 2");
    assert_eq!(bits_per_layer(&[5.0, 5.0], 4, 2.0), [4, 4]);
}

/// The fake host's error grows with the square of the cost, so costs 0 and 2 are the ends, and 1 lies at a quarter.
#[test]
fn weights_are_pruned_and_rounded_by_layer() {
    let mut fake = FakeHost::toy(3, 8).with_layer_costs(&[0.0, 1.0, 2.0]);
    let options = LayerWiseOptions { prune_ratio: 0.35, batches: 2, ..LayerWiseOptions::default() };
    let mut strategy = LayerWise::new(options).unwrap();
    // Robust 1, 0.75, 0 of 1.75; 0.35 x 3 = 1.05 in all. Bits 4 + 2 (z - 5/12).
    for (layer, share, bits) in [(0, 0.6, 3), (1, 0.45, 4), (2, 0.0, 5)] {
        let mut weights = fake.layer_weights(layer);
        let report = strategy.compress(&mut weights, &mut fake.host()).unwrap();
        assert_eq!(report.matrices.len(), 7);
        for (role, form) in weights.into_changed() {
            let WeightForm::Dense { weight } = form else { panic!("{role} is in two factors") };
            let values = fake.host().to_f32(&weight).unwrap();
            let zeros = values.iter().filter(|value| **value == 0.0).count();
            let least = (values.len() as f64 * share + 1e-9).floor() as usize;
            assert!(zeros >= least, "layer {layer} {role}: {zeros} of {} are 0, expected {least}", values.len());
            let width = fake.host().shape(&weight).unwrap()[1];
            for row in values.chunks(width) {
                let mut levels: Vec<f32> = row.iter().map(|value| value.abs()).collect();
                levels.sort_by(f32::total_cmp);
                levels.dedup();
                assert!(
                    levels.len() <= 1 << (bits - 1),
                    "layer {layer} {role}: {} levels at {bits} bits",
                    levels.len()
                );
            }
        }
    }
    assert_eq!(fake.requests::<services::LayerStatistics>(), 2 * (7 + 3), "measured once for all layers");
}

#[test]
fn nothing_is_measured_when_nothing_is_asked_for() {
    let mut fake = FakeHost::toy(2, 8);
    let options = LayerWiseOptions { prune_ratio: 0.0, bits: 0, ..LayerWiseOptions::default() };
    let mut weights = fake.layer_weights(0);
    let report = LayerWise::new(options).unwrap().compress(&mut weights, &mut fake.host()).unwrap();
    assert!(weights.into_changed().is_empty() && report.matrices.iter().all(|matrix| matrix.residual_energy == 0.0));
    assert_eq!(fake.requests::<services::LayerStatistics>(), 0);
}
