//! Shortened LLaMA (Kim et al. 2024, arXiv 2402.02834), as a dynamic library.
//!
//! `leave-one-out`: what the held-out loss grows by when one layer alone gives way (the paper's perplexity criterion, in nats).

mod leave_one_out;

pub use leave_one_out::LeaveOneOut;

use scaleot_plugin_api::{BatchMeanEstimator, export_plugin};

export_plugin! {
    name: "shortened-llama",
    about: "Shortened LLaMA, arXiv 2402.02834: importance by the loss that a layer costs.",
    strategies: {
        "leave-one-out": importance BatchMeanEstimator<LeaveOneOut>, "The held-out loss that replacing a layer alone costs, in nats per token.";
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn conforms() {
        scaleot_plugin_conformance::check_plugin(super::scaleot_root_module());
    }
}
