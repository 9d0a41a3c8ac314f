//! ScaleOT (Yao et al., arXiv 2412.09812), linked into the program.
//!
//! `harmonizer`: a small network in a layer's place. `selective-rank`: truncated SVD of the attention weights of the kept layers.

mod harmonizer;
mod selective_rank;

pub use harmonizer::{Harmonizer, HarmonizerOptions, Initialisation, Selection, WarmStart};
pub use selective_rank::{Modules, SelectiveRank, SelectiveRankOptions, Storage};

plugin_api::export_plugin! {
    name: "scaleot",
    about: "ScaleOT, arXiv 2412.09812: harmonizers, selective rank compression.",
    built_in,
    strategies: {
        "harmonizer": replace Harmonizer, "A small network beside every layer (section 3.3).";
        "selective-rank": compress SelectiveRank, "Truncated SVD of the attention weights (section 3.4).";
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn conforms() {
        plugin_api::conformance::check_plugin(super::scaleot_root_module());
    }
}
