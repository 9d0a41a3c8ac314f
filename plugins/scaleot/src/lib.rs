//! ScaleOT (Yao et al., arXiv 2412.09812), linked into the program.
//!
//! `dynamic-layer-replace`: importance scores by reinforcement, while the substitutes train (section 3.2). `harmonizer`: a small
//! network in a layer's place (3.3). `selective-rank`: truncated SVD of the attention weights of the kept layers (3.4).

mod dynamic_layer_replace;
mod harmonizer;
mod selective_rank;

pub use dynamic_layer_replace::{DynamicLayerReplace, DynamicLayerReplaceOptions, Grouping, Reward};
pub use harmonizer::{Harmonizer, HarmonizerOptions, Initialisation, ReducedRank, Selection, TwoLayers, WarmStart};
pub use scaleot_plugin_api::{Schedule, Storage};
pub use selective_rank::{Modules, SelectiveRank, SelectiveRankOptions};

scaleot_plugin_api::export_plugin! {
    name: "scaleot",
    about: "ScaleOT, arXiv 2412.09812: dynamic layer replace, harmonizers, selective rank compression.",
    built_in,
    strategies: {
        "dynamic-layer-replace": importance DynamicLayerReplace, "Scores by reinforcement in random layer mixtures, while substitutes train (section 3.2).";
        "harmonizer": replace Harmonizer, "A small network beside every layer (section 3.3).";
        "selective-rank": compress SelectiveRank, "Truncated SVD of the attention weights (section 3.4).";
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn conforms() {
        scaleot_plugin_conformance::check_plugin(super::scaleot_root_module());
    }
}
