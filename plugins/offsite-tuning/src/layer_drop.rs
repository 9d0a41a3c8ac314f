//! Uniform LayerDrop: of `q` middle layers, `k` evenly spaced ones stay, the first and last always.
//!
//! `stride = (q-1)/(k-1)`, `index_i = round(i stride)` with ties to even, as Python rounds (offsite-tuning code, `uniform_choose_layers`).
//! Importance scores are ignored: the rule is the method.

use crate::NoOptions;
use plugin_api::{
    Host, ImportanceScores, LayerOutline, LayerPlan, LayerReplacer, Module, PluginError, ReplaceRequest, Strategy,
    Substitute,
};

/// Drops layers so that those left are evenly spaced.
pub struct LayerDrop;

impl Strategy for LayerDrop {
    type Options = NoOptions;
    fn new(_: NoOptions) -> Result<Self, PluginError> {
        Ok(Self)
    }
}

impl LayerReplacer for LayerDrop {
    fn substitute(&mut self, _: &LayerOutline, _: &mut Host) -> Result<Substitute, PluginError> {
        Ok(Substitute::frozen(Module::Identity))
    }

    fn select(&mut self, _: &ImportanceScores, ask: &ReplaceRequest) -> Result<LayerPlan, PluginError> {
        let middle = ask.middle();
        let Some(keep) = middle.len().checked_sub(ask.replace_count) else {
            return Err(PluginError::failed(format!(
                "{} layers are to be dropped, but only {} are no adapters",
                ask.replace_count,
                middle.len()
            )));
        };
        let kept = uniform_indices(middle.len(), keep);
        let dropped = middle.iter().enumerate().filter(|(position, _)| !kept.contains(position));
        LayerPlan::from_replaced(ask, &dropped.map(|(_, &layer)| layer).collect::<Vec<_>>())
    }
}

/// `keep` evenly spaced positions out of `available`. One position is the first; none is none.
#[must_use]
pub fn uniform_indices(available: usize, keep: usize) -> Vec<usize> {
    if keep <= 1 {
        return (0..keep.min(available)).collect();
    }
    // Positions are far below 2^52, so the conversions are exact.
    let stride = (available.saturating_sub(1)) as f64 / (keep - 1) as f64;
    (0..keep).map(|i| (i as f64 * stride).round_ties_even() as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The four published index lists (offsite-tuning scripts; pads 2 and 2), original indices of the middle.
    #[test]
    fn published_index_lists() {
        let list = |n_layers: usize, keep| -> Vec<usize> {
            uniform_indices(n_layers - 4, keep).into_iter().map(|position| position + 2).collect()
        };
        assert_eq!(list(24, 8), [2, 5, 7, 10, 13, 16, 18, 21], "OPT-1.3B");
        assert_eq!(list(48, 16), [2, 5, 8, 11, 13, 16, 19, 22, 25, 28, 31, 34, 36, 39, 42, 45], "GPT-2-XL");
        assert_eq!(list(32, 18), [2, 4, 5, 7, 8, 10, 12, 13, 15, 16, 18, 19, 21, 23, 24, 26, 27, 29], "OPT-6.7B");
        assert_eq!(list(30, 12), [2, 4, 7, 9, 11, 13, 16, 18, 20, 22, 25, 27], "BLOOM-7.1B");
    }

    #[test]
    fn keeps_what_is_asked_for() {
        assert_eq!(uniform_indices(10, 0), Vec::<usize>::new());
        assert_eq!(uniform_indices(10, 1), [0]);
        assert_eq!(uniform_indices(10, 10), (0..10).collect::<Vec<_>>());
    }
}
