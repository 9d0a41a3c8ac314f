//! The likeness of layers' outputs: linear centred kernel alignment (Kornblith et al. 2019, arXiv 1905.00414).
//!
//! Per held-out window the states after a layer are pooled over tokens to one row, so layer `l` gives `X_l: [samples, hidden]`.
//! With `H = I - 1/samples`: `HSIC(X, Y) = sum((H X X^T H) o (H Y Y^T H))`, `CKA = HSIC(X, Y) / sqrt(HSIC(X, X) HSIC(Y, Y))`,
//! in `[0, 1]`, 1 for outputs that differ by rotation, scale and shift only.

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

/// The question of [`Host::output_similarity`](crate::Host::output_similarity).
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
