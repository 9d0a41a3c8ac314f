//! LoRC (Zhang et al. 2024, arXiv 2410.03111), as a dynamic library.
//!
//! `progressive-rank`: truncated SVD of the key and value projections, less of it where errors have a longer way to grow.

mod progressive_rank;

pub use progressive_rank::{Modules, ProgressiveRank, ProgressiveRankOptions, ratios};

scaleot_plugin_api::export_plugin! {
    name: "lorc",
    about: "LoRC, arXiv 2410.03111: ranks of key and value projections from cumulative condition numbers.",
    strategies: {
        "progressive-rank": compress ProgressiveRank, "Truncated SVD of k and v, shallow layers less than deep ones.";
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn conforms() {
        scaleot_plugin_conformance::check_plugin(super::scaleot_root_module());
    }
}
