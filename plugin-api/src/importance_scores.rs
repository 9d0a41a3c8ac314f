//! Importance scores: a number per layer, by which layers are ranked.

use serde::{Deserialize, Serialize};

/// One finite number per layer of the full model; larger means keep. Only the order matters to a replacer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImportanceScores {
    /// Entry `i` is layer `i`.
    pub scores: Vec<f32>,
}

impl ImportanceScores {
    /// One score per layer.
    #[must_use]
    pub fn new(scores: Vec<f32>) -> Self {
        Self { scores }
    }
}

impl ImportanceScores {
    /// Layer indices from least to most important; equal scores keep the order of depth.
    #[must_use]
    pub fn ascending(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.scores.len()).collect();
        let score = |index: &usize| self.scores.get(*index).copied().unwrap_or(f32::NAN);
        order.sort_by(|a, b| score(a).total_cmp(&score(b)));
        order
    }

    /// True where every layer has the same score, so that there is nothing to sort by.
    #[must_use]
    pub fn are_equal(&self) -> bool {
        self.scores.windows(2).all(|pair| pair.first() == pair.last())
    }
}
