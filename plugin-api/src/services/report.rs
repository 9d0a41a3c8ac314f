//! Reports of a running strategy to the host: notices, and points of curves.

use serde::{Deserialize, Serialize};

/// One point of a curve that a stage keeps beside its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CurvePoint {
    /// The curve's name.
    pub curve: String,
    /// After how many steps.
    pub step: u64,
    /// The values, the same count at every step.
    pub values: Vec<f64>,
}

impl CurvePoint {
    /// A point of this curve.
    #[must_use]
    pub fn new(curve: impl Into<String>, step: u64, values: Vec<f64>) -> Self {
        Self { curve: curve.into(), step, values }
    }
}

/// A line for the log or the progress display.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Notice {
    /// The end of a step.
    Progress {
        /// Units done.
        done: u64,
        /// Units in all.
        total: u64,
        /// The bytes from which the strategy continues.
        state: Vec<u8>,
    },
    /// A sentence for the log.
    Log {
        /// The sentence; the host escapes and shortens it.
        message: String,
    },
}
