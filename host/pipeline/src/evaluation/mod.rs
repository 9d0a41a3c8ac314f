//! Evaluate: how good a model is on a task, in numbers that other tools know.
//!
//! Side: both (the owner on the model, the data owner on the emulator).
//! Takes: anything that scores tokens (`Scorer`); a task's questions or a text.
//! Gives: accuracies, answer loss or perplexity with standard errors; every question's scores; lm-evaluation-harness's result JSON.
//! Plugin kind: none.
//!
//! The context of a question runs once, however many choices follow it (`data::token_tree`).

mod choice;
mod error;
mod estimate;
mod report;
mod text;

#[cfg(test)]
mod choice_tests;

pub use choice::{ChoiceScores, ChoiceSet, Limits, QuestionSource, Sample};
pub use error::EvaluateError;
pub use estimate::Estimate;
pub use report::{Entry, HarnessReport};
pub use text::{TextScores, score_text};

use scaleot_data::PackedBatch;
use scaleot_model::{Decoder, ModelError};

/// A model as evaluation needs it: natural log-probabilities of given next tokens.
pub trait Scorer {
    type Error: std::error::Error + Send + Sync + 'static;

    /// For each `(row, id)` the log-probability that token `id` follows the token of `row`. Targets come sorted by row, without repeats.
    ///
    /// # Errors
    /// The model's own.
    fn log_probs(&self, batch: &PackedBatch, targets: &[(usize, i64)]) -> Result<Vec<f32>, Self::Error>;
}

impl Scorer for Decoder {
    type Error = ModelError;

    fn log_probs(&self, batch: &PackedBatch, targets: &[(usize, i64)]) -> Result<Vec<f32>, ModelError> {
        Decoder::log_probs(self, batch, targets)
    }
}

/// A receiver of the done and the total after each batch.
pub type ScoringProgress<'a> = dyn FnMut(usize, usize) + 'a;

/// One batch through the model; the answer has one finite number a target.
fn scored<S: Scorer>(
    scorer: &S,
    what: &str,
    batch: &PackedBatch,
    targets: &[(usize, i64)],
) -> Result<Vec<f32>, EvaluateError> {
    let log_probs = scorer
        .log_probs(batch, targets)
        .map_err(|source| EvaluateError::Scorer { what: what.to_owned(), source: Box::new(source) })?;
    if log_probs.len() != targets.len() {
        return Err(EvaluateError::Count { what: what.to_owned(), found: log_probs.len(), expected: targets.len() });
    }
    match log_probs.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(EvaluateError::NotFinite { what: what.to_owned(), found: *value }),
        None => Ok(log_probs),
    }
}
