//! Why an evaluation could not be finished.

use scaleot_data::DataError;
use scaleot_store::exit_code::{ExitCode, HasExitCode};

#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("{what}: the model failed: {source}")]
    Scorer { what: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(
        "{what}: found {found} log-probabilities, expected {expected}, one a target. This is a fault of the model's code"
    )]
    Count { what: String, found: usize, expected: usize },
    #[error(
        "{what}: found the log-probability {found}, expected a finite number. The model's weights are damaged or overflow in this dtype; try f32"
    )]
    NotFinite { what: String, found: f32 },
    #[error("{what}: no questions to score. Raise the limit or check the data set")]
    NoQuestions { what: String },
}

impl HasExitCode for EvaluateError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Data(error) => error.exit_code(),
            Self::NotFinite { .. } => ExitCode::Numeric,
            Self::NoQuestions { .. } => ExitCode::Usage,
            // The tokens were checked against the vocabulary and the limits before they came here.
            Self::Scorer { .. } | Self::Count { .. } => ExitCode::Bug,
        }
    }
}
