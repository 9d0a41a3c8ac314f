//! AdaRound (Nagel, Amjad, van Baalen, Louizos and Blankevoort, "Up or Down? Adaptive Rounding for Post-Training Quantization",
//! ICML 2020, arXiv 2004.10568) as a compressor, and the example of the `tch` tier: it needs gradients of its own, so it takes the
//! host's tensors as `tch::Tensor`s.
//!
//! Files: `compressor` (options, layers, report), `rounding` (the objective and its descent on one matrix).

mod compressor;
pub mod rounding;

pub use compressor::{AdaRound, AdaRoundOptions};

scaleot_plugin_api::export_plugin! {
    name: "adaround",
    about: "AdaRound (arXiv 2004.10568): rounding to few bits, learned so that a layer's outputs change least.",
    strategies: {
        "learned-rounding": compress AdaRound, "Every weight is rounded up or down, whichever changes the outputs on public text less.";
    }
}
