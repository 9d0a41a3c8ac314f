//! Progressive ranks against literals of the rule, and against condition numbers from a library of its own.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used)]

use lorc::{Modules, ProgressiveRank, ProgressiveRankOptions, ratios};
use nalgebra::DMatrix;
use scaleot_plugin_api::services;
use scaleot_plugin_api::{Compressor, Strategy, WeightRole};
use scaleot_plugin_conformance::FakeHost;

#[test]
fn shares_fall_with_the_cumulative_condition_number() {
    // Sums from the top: 10, 8, 7, 2; places 1, 0.75, 0.625, 0 between 0.2 and 0.6.
    let found = ratios(&[2.0, 1.0, 5.0, 2.0], 0.2, 0.6);
    let expected = [0.6, 0.5, 0.45, 0.2];
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
    assert_eq!(ratios(&[3.0], 0.2, 0.6), [0.6], "one layer alone is the shallowest");
    assert_eq!(ratios(&[0.0, 0.0], 0.2, 0.6), [0.6, 0.6]);
}

fn log_condition(fake: &mut FakeHost, layer: usize, roles: &[WeightRole]) -> f64 {
    let weights = fake.layer_weights(layer);
    let mut host = fake.host();
    let of_role = |role: &WeightRole| {
        let weight = weights.get(*role).unwrap();
        let shape = host.shape(weight).unwrap();
        let values = host.to_f32(weight).unwrap().into_iter().map(f64::from);
        let singular = DMatrix::from_row_iterator(shape[0], shape[1], values).singular_values();
        (singular.max() / singular.min()).ln()
    };
    roles.iter().map(of_role).sum()
}

#[test]
fn ranks_follow_the_condition_numbers_of_all_layers() {
    let mut fake = FakeHost::toy(6, 40);
    let options = ProgressiveRankOptions { min_rank_ratio: 0.1, max_rank_ratio: 0.9, ..Default::default() };
    let roles = [WeightRole::AttentionK, WeightRole::AttentionV];
    let own: Vec<f64> = (0..6).map(|layer| log_condition(&mut fake, layer, &roles)).collect();
    let above = |layer: usize| own[layer..].iter().sum::<f64>();
    let place = |layer: usize| (above(layer) - above(5)) / (above(0) - above(5));
    let mut strategy = ProgressiveRank::new(options).unwrap();
    for layer in [3, 0, 5, 1] {
        let mut weights = fake.layer_weights(layer);
        let report = strategy.compress(&mut weights, &mut fake.host()).unwrap();
        let expected = (40.0 * (0.1 + 0.8 * place(layer))).floor() as usize;
        let found: Vec<_> = report.matrices.iter().map(|matrix| (matrix.role, matrix.rank)).collect();
        assert_eq!(found, roles.map(|role| (role, expected)), "layer {layer}, place {}", place(layer));
    }
    assert_eq!(fake.requests::<services::Weights>(), 6, "every layer is measured once");
}

#[test]
fn the_deepest_layer_loses_most_and_feed_forward_nothing() {
    let mut fake = FakeHost::toy(4, 20);
    let ranks = |modules, layer| {
        let mut strategy = ProgressiveRank::new(ProgressiveRankOptions { modules, ..Default::default() }).unwrap();
        let mut weights = fake.layer_weights(layer);
        let report = strategy.compress(&mut weights, &mut fake.host()).unwrap();
        report.matrices.iter().map(|matrix| matrix.rank).collect::<Vec<_>>()
    };
    let mut ranks = ranks;
    assert_eq!(ranks(Modules::KeyValue, 0), [14, 14], "0.7 of 20");
    assert_eq!(ranks(Modules::KeyValue, 3), [4, 4], "0.2 of 20");
    assert_eq!(ranks(Modules::Attention, 3), [4; 4]);
}
