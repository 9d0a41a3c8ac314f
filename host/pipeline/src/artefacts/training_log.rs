//! The history of a training, as artefacts declare it.

use serde::{Deserialize, Serialize};

/// One validation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// After this many steps.
    pub step: u64,
    /// Training loss since the last validation, mean over its targets; that of the next token is in nats per target.
    pub train_loss: f64,
    /// Mean next-token loss on the validation set, in nats per target.
    pub validation_loss: f64,
}

/// The history of a training.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingLog {
    /// Steps taken.
    pub steps: u64,
    /// Every validation so far.
    pub validations: Vec<Validation>,
    /// Step of the best validation.
    pub best_step: u64,
}
