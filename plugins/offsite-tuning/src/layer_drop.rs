//! Uniform LayerDrop: of `q` middle layers, `k` evenly spaced ones stay, the first and last always.
//!
//! `stride = (q-1)/(k-1)`, `index_i = round(i stride)` with ties to even, as Python rounds (offsite-tuning code, `uniform_choose_layers`).
//! Importance scores are ignored: the rule is the method.

use crate::NoOptions;
use scaleot_plugin_api::{
    Checkpoint, Declaration, Host, ImportanceScores, LayerOutline, LayerPlan, LayerReplacer, Module, PluginError,
    ReplaceRequest, Strategy, Substitute, Trait,
};

/// Drops layers so that those left are evenly spaced.
pub struct LayerDrop;

impl Strategy for LayerDrop {
    type Options = NoOptions;
    fn new(_: NoOptions) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn declares() -> Vec<Declaration> {
        [Trait::IgnoresScores, Trait::TrainsNothing].map(Declaration::always).to_vec()
    }
}

impl LayerReplacer for LayerDrop {
    fn substitute(&mut self, _: &LayerOutline, _: &mut Host) -> Result<Substitute, PluginError> {
        Ok(Substitute::frozen(Module::Identity))
    }

    fn select(&mut self, _: &ImportanceScores, ask: &ReplaceRequest) -> Result<LayerPlan, PluginError> {
        LayerPlan::evenly_spaced(ask)
    }
}

impl Checkpoint for LayerDrop {}

#[cfg(test)]
mod tests {
    use scaleot_plugin_api::evenly_spaced;

    /// The four published index lists (offsite-tuning scripts; pads 2 and 2), original indices of the middle.
    #[test]
    fn published_index_lists() {
        let list = |n_layers: usize, keep| -> Vec<usize> {
            evenly_spaced(n_layers - 4, keep).into_iter().map(|position| position + 2).collect()
        };
        assert_eq!(list(24, 8), [2, 5, 7, 10, 13, 16, 18, 21], "OPT-1.3B");
        assert_eq!(list(48, 16), [2, 5, 8, 11, 13, 16, 19, 22, 25, 28, 31, 34, 36, 39, 42, 45], "GPT-2-XL");
        assert_eq!(list(32, 18), [2, 4, 5, 7, 8, 10, 12, 13, 15, 16, 18, 19, 21, 23, 24, 26, 27, 29], "OPT-6.7B");
        assert_eq!(list(30, 12), [2, 4, 7, 9, 11, 13, 16, 18, 20, 22, 25, 27], "BLOOM-7.1B");
    }

    #[test]
    fn keeps_what_is_asked_for() {
        assert_eq!(evenly_spaced(10, 0), Vec::<usize>::new());
        assert_eq!(evenly_spaced(10, 1), [0]);
        assert_eq!(evenly_spaced(10, 10), (0..10).collect::<Vec<_>>());
    }
}
