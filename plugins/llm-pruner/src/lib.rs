//! LLM-Pruner (Ma, Fang and Wang 2023, arXiv 2305.11627), as a dynamic library.
//!
//! `taylor`: how much the loss would change, to first order, if a layer's weights were gone.

mod taylor;

pub use taylor::Taylor;

use scaleot_plugin_api::{BatchMeanEstimator, export_plugin};

export_plugin! {
    name: "llm-pruner",
    about: "After LLM-Pruner, arXiv 2305.11627: importance by the loss's first-order term in a whole layer's weights.",
    strategies: {
        "taylor": importance BatchMeanEstimator<Taylor>, "The sum of |weight x gradient| over a layer's matrices, mean over held-out batches.";
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn conforms() {
        scaleot_plugin_conformance::check_plugin(super::scaleot_root_module());
    }
}
