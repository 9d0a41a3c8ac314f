//! CRaSh: clustering, removing, sharing (Zhang et al. 2023, arXiv 2310.15477), as a dynamic library.
//!
//! `layer-similarity`: how much a layer's output differs from that of the layer before it. `share`: neighbours that are most alike
//! form clusters, one layer of each stays, and the others run the nearest layer that stays. With `adapter.placement =
//! "spread_kept"` the trainable layers are spread over those that stay, as published.

mod clusters;
mod layer_similarity;
mod share;

pub use clusters::centres;
pub use layer_similarity::{LayerSimilarity, LayerSimilarityOptions};
pub use share::{Share, ShareOptions};

scaleot_plugin_api::export_plugin! {
    name: "crash",
    about: "CRaSh, arXiv 2310.15477: layers clustered by similarity, one of each cluster kept and shared.",
    strategies: {
        "layer-similarity": importance LayerSimilarity, "1 - linear CKA of a layer's output and that of the layer before.";
        "share": replace Share, "Keeps the centre of each cluster of neighbours; the others run the nearest layer that stays.";
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn conforms() {
        scaleot_plugin_conformance::check_plugin(super::scaleot_root_module());
    }
}
