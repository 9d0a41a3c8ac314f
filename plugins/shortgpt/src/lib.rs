//! ShortGPT (Men et al. 2024, arXiv 2403.03853), as a dynamic library.
//!
//! `block-influence`: how far a layer turns its input. `layer-removal`: the least important layers are dropped; it goes with every
//! estimator whose paper drops layers.

mod block_influence;
mod layer_removal;

pub use block_influence::BlockInfluence;
pub use layer_removal::{LayerRemoval, LayerRemovalOptions};

use scaleot_plugin_api::{BatchMeanEstimator, export_plugin};

export_plugin! {
    name: "shortgpt",
    about: "ShortGPT, arXiv 2403.03853: importance by how far a layer turns its input, and removal by importance.",
    strategies: {
        "block-influence": importance BatchMeanEstimator<BlockInfluence>, "1 - cos(input, output) of each layer, mean over held-out tokens.";
        "layer-removal": replace LayerRemoval, "Drops the least important layers.";
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn conforms() {
        scaleot_plugin_conformance::check_plugin(super::scaleot_root_module());
    }
}
