//! Figures of one column of the result table.

use crate::evaluation::Estimate;
use scaleot_config::Column;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A figure of a task: mean, standard error (none for one sample), samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Mean over the samples.
    pub mean: f64,
    /// Standard error of the mean.
    pub stderr: Option<f64>,
    /// Samples.
    pub n: usize,
}

impl From<Estimate> for Figure {
    fn from(estimate: Estimate) -> Self {
        Self { mean: estimate.mean, stderr: estimate.stderr, n: estimate.n }
    }
}

/// A column's figures on one task, by metric key (`acc`, `acc_norm`, `answer_loss`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    /// Task name of lm-evaluation-harness.
    pub task: String,
    /// By metric.
    pub figures: BTreeMap<String, Figure>,
}

/// A column's figures on plain text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextResult {
    /// Nats per token.
    pub nll: Figure,
    /// `exp(nll)`.
    pub perplexity: f64,
    /// Scored tokens.
    pub tokens: usize,
}

/// The body of a column's manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnResult {
    /// Digest of everything that the result depends on.
    pub inputs: String,
    /// The column.
    pub column: Column,
    /// One entry per task.
    pub tasks: Vec<TaskResult>,
    /// On the text files, if the config names any.
    pub text: Option<TextResult>,
}
