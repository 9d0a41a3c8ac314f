//! Edge-LLM (Yu et al. 2024, arXiv 2406.15758), as a dynamic library.
//!
//! `sensitivity`: what trial pruning does to a layer's output. `layer-wise`: pruning shares and bits by that (the paper's LUC). Its
//! adaptive tuning and voting among exits change how a model runs, and are no strategies here.

mod layer_wise;
mod sensitivity;

pub use layer_wise::{LayerWise, LayerWiseOptions, bits_per_layer, shares_per_layer};
pub use sensitivity::Sensitivity;

use scaleot_plugin_api::{BatchMeanEstimator, export_plugin};

export_plugin! {
    name: "edge-llm",
    about: "After Edge-LLM, arXiv 2406.15758: sensitivity of layers to pruning, and layer-wise pruning and bits.",
    strategies: {
        "sensitivity": importance BatchMeanEstimator<Sensitivity>, "The error of a layer's output, mean over trial pruning ratios.";
        "layer-wise": compress LayerWise, "Prunes sensitive layers less and gives them more bits.";
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn conforms() {
        scaleot_plugin_conformance::check_plugin(super::scaleot_root_module());
    }
}
