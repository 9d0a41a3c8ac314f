//! GradOT (Yao et al. 2025, arXiv 2507.04455), as a dynamic library: an emulator is good if adapter gradients on it are those on the
//! full model while its loss is higher. Training-free.
//!
//! `gradient-preserving` importance (what the loss's gradient suffers without a layer) and compressor (dynamic rank decomposition of
//! the attention, selective channel pruning of the feed-forward part).

mod compressor;
mod importance;
mod score;

pub use compressor::{GradientPreserving, GradientPreservingOptions};
pub use importance::{LayerScore, LayerScoreOptions};
pub use score::{channel_scores, component_scores, matrix_score};

scaleot_plugin_api::export_plugin! {
    name: "gradot",
    about: "GradOT, arXiv 2507.04455: what is compressed is what the adapter's gradients do not need.",
    strategies: {
        "layer-score": importance LayerScore, "The gradient-preserving score of leaving a layer's weights out.";
        "gradient-preserving": compress GradientPreserving, "Drops components of attention and channels of the feed-forward part by the score.";
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn conforms() {
        scaleot_plugin_conformance::check_plugin(super::scaleot_root_module());
    }
}
