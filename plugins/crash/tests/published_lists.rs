//! The five published layer lists (section 5): each is the centres of a clustering of neighbours, and its trainable layers are at
//! `min(floor(i k / (N_a - 1)), k - 1)` of the `k` that stay.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used)]

use crash::{Share, ShareOptions, centres};
use scaleot_plugin_api::{ImportanceScores, LayerReplacer, LayerRole, Module, ReplaceRequest, Strategy};
use scaleot_plugin_conformance::FakeHost;

/// Layers of the model, trainable layers, frozen layers.
type Published = (usize, [usize; 4], &'static [usize]);

const LISTS: [Published; 5] = [
    (24, [0, 5, 18, 23], &[1, 2, 3, 9, 12, 15, 20, 22]),
    (24, [0, 5, 12, 23], &[1, 2, 3, 8, 10, 11, 17, 22]),
    (32, [0, 8, 17, 31], &[1, 2, 3, 5, 6, 7, 9, 10, 11, 12, 13, 15, 20, 22, 23, 24, 27, 30]),
    (32, [0, 9, 16, 31], &[1, 2, 3, 5, 7, 8, 10, 11, 12, 13, 14, 15, 19, 22, 24, 25, 28, 30]),
    (32, [0, 7, 14, 31], &[1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 15, 16, 17, 21, 27, 30]),
];

fn kept(list: &Published) -> Vec<usize> {
    let mut kept: Vec<usize> = list.1.iter().chain(list.2).copied().collect();
    kept.sort_unstable();
    kept
}

/// Starts of clusters whose `cluster[len / 2]` are these layers, found by trying both lengths that put a centre there.
fn starts(centres: &[usize], start: usize, n_layers: usize) -> Option<Vec<usize>> {
    let Some((&centre, rest)) = centres.split_first() else { return (start == n_layers).then(Vec::new) };
    let half = centre.checked_sub(start)?;
    [2 * half, 2 * half + 1].into_iter().filter(|&length| length > 0).find_map(|length| {
        let mut later = starts(rest, start + length, n_layers)?;
        later.insert(0, start);
        Some(later)
    })
}

/// Scores with which exactly these clusters form: neighbours inside one are more alike than any across.
fn scores(starts: &[usize], n_layers: usize) -> ImportanceScores {
    let score = |layer: usize| if starts.contains(&layer) { 0.5 + layer as f32 / 100.0 } else { layer as f32 / 1000.0 };
    ImportanceScores::new((0..n_layers).map(score).collect())
}

fn select(scores: &ImportanceScores, adapter_layers: &[usize], replace_count: usize) -> scaleot_plugin_api::LayerPlan {
    let n_layers = scores.scores.len();
    let ask = ReplaceRequest::new(n_layers, adapter_layers.to_vec(), replace_count);
    Share::new(ShareOptions::default()).unwrap().select(scores, &ask).unwrap()
}

#[test]
fn every_list_is_that_of_a_clustering() {
    for list in &LISTS {
        let (n_layers, trained, frozen) = *list;
        let kept = kept(list);
        let starts = starts(&kept, 0, n_layers).unwrap_or_else(|| panic!("no clustering has the centres {kept:?}"));
        let scores = scores(&starts, n_layers);
        let replace_count = n_layers - kept.len();
        // First without adapters, as `spread_kept` asks; the trainable layers are then named, and nothing else changes.
        assert_eq!(select(&scores, &[], replace_count).layers_with(LayerRole::Keep), kept);
        let plan = select(&scores, &trained, replace_count);
        assert_eq!(plan.layers_with(LayerRole::Adapter), trained);
        assert_eq!(plan.layers_with(LayerRole::Keep), frozen);
        let k = kept.len();
        assert_eq!([0, 1, 2, 3].map(|i| kept[(i * k / 3).min(k - 1)]), trained);
    }
}

/// OPT-1.3B on ARC: what runs in each of the twelve places that were removed; 4, 7, 19 and 21 lie between two.
#[test]
fn removed_places_run_the_nearest_layer_that_stays() {
    let list = &LISTS[0];
    let scores = scores(&starts(&kept(list), 0, 24).unwrap(), 24);
    let plan = select(&scores, &list.1, 12);
    let removed = plan.layers_with(LayerRole::Replace);
    assert_eq!(removed, [4, 6, 7, 8, 10, 11, 13, 14, 16, 17, 19, 21]);
    let runs: Vec<usize> = removed.iter().map(|&layer| plan.nearest_staying(layer).unwrap()).collect();
    assert_eq!(runs, [5, 5, 9, 9, 9, 12, 12, 15, 15, 18, 20, 22]);
}

#[test]
fn the_most_alike_neighbours_merge_first() {
    // 0 | 1 2 | 3 4 5: the boundaries before 2, 4 and 5 go first.
    let boundary = [1.0, 0.9, 0.1, 0.8, 0.2, 0.3];
    assert_eq!(centres(&boundary, &[], 5), Some(vec![0, 2, 3, 4, 5]));
    assert_eq!(centres(&boundary, &[], 3), Some(vec![0, 2, 4]));
    assert_eq!(centres(&boundary, &[], 1), Some(vec![3]));
    assert_eq!(centres(&boundary, &[1, 3], 3), Some(vec![0, 1, 3]), "adapters stand for their clusters");
    assert_eq!(centres(&boundary, &[0, 1, 2], 2), None);
}

#[test]
fn a_substitute_shares_its_own_layer_or_nothing() {
    let mut fake = FakeHost::toy(4, 8);
    let layer = fake.outline().layers[2].clone();
    let mut module = |sharing| {
        let mut replacer = Share::new(ShareOptions { sharing }).unwrap();
        replacer.substitute(&layer, &mut fake.host()).unwrap().module
    };
    assert!(matches!(module(true), Module::SharedWith { layer: 2 }));
    assert!(matches!(module(false), Module::Identity));
}
