//! Offsite-Tuning's three strategies, used as the host uses them, against the published set-up.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used)]

use offsite_tuning::{LayerDrop, NoOptions, OuterLayers, Uniform};
use plugin_api::conformance::FakeHost;
use plugin_api::evenly_spaced;
use plugin_api::{
    Adapter, AdapterPart, ImportanceEstimator, ImportanceScores, LayerReplacer, LayerRole, Module, ReplaceRequest,
    Strategy,
};

fn plan(n_layers: usize, adapter_layers: Vec<usize>, replace_count: usize) -> Vec<LayerRole> {
    let scores = ImportanceScores { scores: vec![0.0; n_layers] };
    let ask = ReplaceRequest { n_layers, adapter_layers, replace_count };
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
