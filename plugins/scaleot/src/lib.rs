//! ScaleOT (Yao et al., arXiv 2412.09812), linked into the program.
//!
//! `selective-rank`: truncated SVD of the attention weights of the kept layers.

mod selective_rank;

pub use selective_rank::{Modules, SelectiveRank, SelectiveRankOptions, Storage};

plugin_api::export_plugin! {
    name: "scaleot",
    about: "ScaleOT, arXiv 2412.09812: selective rank compression.",
    built_in,
    strategies: {
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
