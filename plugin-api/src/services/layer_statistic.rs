//! Layer statistics: the measurements that a host takes of every layer.

use crate::error::PluginError;
use serde::{Deserialize, Serialize};

/// A measurement per layer, taken by [`Host::layer_statistics`](crate::Host::layer_statistics).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LayerStatistic {
    /// `mean over tokens of cos(input, output)` of the layer, in `[-1, 1]` (ShortGPT's block influence is 1 minus this).
    InputOutputCosine,
    /// `sum over the layer's matrices of |w dL/dw|`, `L` the mean next-token loss (LLM-Pruner's first-order term); one backward pass.
    TaylorImportance,
    /// `mean((y' - y)^2)` of the layer's output on its own input, when [`prune_smallest`](crate::prune_smallest) took this share of
    /// every matrix's weights (Edge-LLM's sensitivity).
    PrunedOutputError {
        /// Hundredths of the weights that are 0.
        percent: u8,
    },
    /// The same, when [`round_to_bits`](crate::round_to_bits) rounded every row of every matrix.
    RoundedOutputError {
        /// Bits of a weight.
        bits: u8,
    },
}

impl LayerStatistic {
    /// The statistic of a question. For hosts.
    ///
    /// # Errors
    /// `Unsupported` for one that this version of the contract does not have.
    pub fn of_question(question: &[u8]) -> Result<Self, PluginError> {
        serde_json::from_slice(question).map_err(|_| {
            let asked = String::from_utf8_lossy(question);
            PluginError::unsupported(format!("this host has no layer statistic {asked}"))
                .with_help("the plugin was built for a newer host")
        })
    }
}
