//! The likeness of layers' outputs: linear centred kernel alignment (Kornblith et al. 2019, arXiv 1905.00414).
//!
//! Per held-out window the states after a layer are pooled over tokens to one row, so layer `l` gives `X_l: [samples, hidden]`.
//! With `H = I - 1/samples`: `HSIC(X, Y) = sum((H X X^T H) o (H Y Y^T H))`, `CKA = HSIC(X, Y) / sqrt(HSIC(X, X) HSIC(Y, Y))`,
//! in `[0, 1]`, 1 for outputs that differ by rotation, scale and shift only.

use crate::error::PluginError;
use crate::host::Host;
use crate::services::OutputSimilarity;
use serde::{Deserialize, Serialize};

/// The weights of tokens when a window becomes one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TokenPooling {
    /// All alike.
    Mean,
    /// Token `t` counts `t`, from 1 (CRaSh; a causal model's later tokens have seen more).
    Position,
}

/// The question of [`Host::output_similarity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SimilarityRequest {
    /// Held-out windows; fewer where there are fewer.
    pub samples: u32,
    /// The weights of tokens when a window becomes one row.
    pub pooling: TokenPooling,
}

impl SimilarityRequest {
    /// A similarity over so many held-out windows.
    #[must_use]
    pub fn new(samples: u32, pooling: TokenPooling) -> Self {
        Self { samples, pooling }
    }
}

impl Host<'_> {
    /// `[n, n]`, row by row: entry `(i, j)` is the linear CKA of the outputs of layers `i` and `j` of the full model.
    ///
    /// ```
    /// use scaleot_plugin_api::{PluginError, SimilarityRequest, TokenPooling};
    /// use scaleot_plugin_conformance::FakeHost;
    /// let mut fake = FakeHost::toy(3, 8).with_layer_costs(&[1.0, 0.01, 5.0]);
    /// let similar = fake.host().output_similarity(&SimilarityRequest { samples: 64, pooling: TokenPooling::Mean })?;
    /// assert!(similar[0][1] > 0.99, "the second layer changes little");
    /// assert!(similar[1][2] < 0.9, "the third one much");
    /// # Ok::<(), PluginError>(())
    /// ```
    ///
    /// # Errors
    /// `Host` without public text or with fewer than 2 samples, `Numeric` when a layer's outputs are all the same.
    pub fn output_similarity(&mut self, request: &SimilarityRequest) -> Result<Vec<Vec<f64>>, PluginError> {
        self.ask::<OutputSimilarity>(request)
    }
}
