//! Training and tuning steps: the question for one, and the report on it.

use crate::plan::LayerMask;
use serde::{Deserialize, Serialize};

/// The report on one training or tuning step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepReport {
    /// Mean loss of the step's batch before the update, in nats per token.
    pub loss: f64,
}

impl StepReport {
    /// The report of a step with this loss.
    #[must_use]
    pub fn new(loss: f64) -> Self {
        Self { loss }
    }
}

/// One training step of the substitutes, by the owner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrainStep {
    /// Replaced layers run, and train, their substitutes. The backbone is frozen; gradients flow through it.
    pub mask: LayerMask,
    /// AdamW's learning rate in this step.
    pub learning_rate: f64,
}

impl TrainStep {
    /// A step under this mixture.
    #[must_use]
    pub fn new(mask: LayerMask, learning_rate: f64) -> Self {
        Self { mask, learning_rate }
    }
}
