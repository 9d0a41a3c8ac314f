//! Places of the `N_a` adapter layers.
//!
//! `outer` (Offsite-Tuning, GradOT): `N_a/2` at each end. `spread` (CRaSh, section 5): positions
//! `min(floor(i n / (N_a-1)), n-1)`; `spread_kept`: the same positions in the list of layers that the replacer keeps when none
//! of them is an adapter, which gives CRaSh's published lists. `top_score`: the most important, the shallower first among equals.

use scaleot_config::Placement;
use scaleot_plugin_api::ImportanceScores;

/// The adapter layers, ascending. `count` is below `n_layers` (the config is checked against the model).
pub fn adapter_layers(placement: Placement, count: usize, n_layers: usize, scores: &ImportanceScores) -> Vec<usize> {
    let mut layers: Vec<usize> = match placement {
        Placement::Outer => (0..count / 2).chain(n_layers.saturating_sub(count - count / 2)..n_layers).collect(),
        Placement::Spread | Placement::SpreadKept if count < 2 => (0..count).collect(),
        Placement::Spread | Placement::SpreadKept => {
            (0..count).map(|i| (i * n_layers / (count - 1)).min(n_layers.saturating_sub(1))).collect()
        }
        Placement::TopScore => {
            let mut order: Vec<usize> = (0..n_layers).collect();
            let score = |index: &usize| scores.scores.get(*index).copied().unwrap_or(f32::MIN);
            order.sort_by(|a, b| score(b).total_cmp(&score(a)));
            order.truncate(count);
            order
        }
    };
    layers.sort_unstable();
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions() {
        let scores = ImportanceScores::new(vec![0.1, 0.9, 0.9, 0.2, 0.3, 0.0]);
        assert_eq!(adapter_layers(Placement::Outer, 4, 30, &scores), [0, 1, 28, 29]);
        // CRaSh's published positions in a list of 12 kept layers: 0, 4, 8, 11; of 22: 0, 7, 14, 21.
        assert_eq!(adapter_layers(Placement::Spread, 4, 12, &scores), [0, 4, 8, 11]);
        assert_eq!(adapter_layers(Placement::Spread, 4, 22, &scores), [0, 7, 14, 21]);
        assert_eq!(adapter_layers(Placement::TopScore, 2, 6, &scores), [1, 2]);
    }
}
