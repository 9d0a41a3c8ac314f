//! Offsite-Tuning (Xiao, Lin and Han 2023, arXiv 2302.04870), as a dynamic library.
//!
//! `uniform` importance (every layer alike) and `random` (any order) are the controls; `layer-drop` (the paper's index rule),
//! `distilled-drop` (the same, and the layers that are left learn), `magnitude-prune` and `fake-quantise` (the code's other
//! emulators), `outer-layers` (whole layers train).

mod distilled_drop;
mod fake_quantise;
mod layer_drop;
mod magnitude_prune;
mod outer_layers;
mod random;
mod uniform;

pub use distilled_drop::{DistilledDrop, DistilledDropOptions};
pub use fake_quantise::{FakeQuantise, FakeQuantiseOptions, Scale};
pub use layer_drop::LayerDrop;
pub use magnitude_prune::{MagnitudePrune, MagnitudePruneOptions};
pub use outer_layers::OuterLayers;
pub use random::{Random, RandomOptions};
pub use uniform::Uniform;

/// For strategies that have nothing to set.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NoOptions {}

scaleot_plugin_api::export_plugin! {
    name: "offsite-tuning",
    about: "Offsite-Tuning, arXiv 2302.04870: uniform layer drop, distilled or not, pruning, quantisation, outer-layer adapters.",
    strategies: {
        "uniform": importance Uniform, "Every layer is as important as any other.";
        "random": importance Random, "A random order from the run's seed: the control.";
        "layer-drop": replace LayerDrop, "Drops layers so that those left are evenly spaced (section 4.1).";
        "distilled-drop": replace DistilledDrop, "As layer-drop; training then brings the layers left near the whole stack (section 4.2).";
        "magnitude-prune": compress MagnitudePrune, "Sets the smallest weights of every matrix to 0.";
        "fake-quantise": compress FakeQuantise, "Rounds every weight to a few levels about 0.";
        "outer-layers": adapter OuterLayers, "Every weight of the adapter layers trains.";
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn conforms() {
        scaleot_plugin_conformance::check_plugin(super::scaleot_root_module());
    }
}
