//! Every way in which a suite is refused.
//!
//! Rule: file and line of the suite first, then what is wrong with the run config that came of it.

use scaleot_config::{ConfigError, KeyPath, Place};
use scaleot_pipeline::error::StageError;
use scaleot_store::StoreError;
use scaleot_store::exit_code::{ExitCode, HasExitCode};

/// A refused suite.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The suite file itself, in the words of any config.
    #[error(transparent)]
    File(#[from] ConfigError),

    #[error("{place}: key `{key}`: {problem}")]
    Cell { place: Place, key: KeyPath, problem: Box<ConfigError> },

    #[error("{place}: key `{key}`: found {found}, expected {expected}")]
    Value { place: Place, key: KeyPath, found: String, expected: String },

    #[error("{place}: the cells `{first}` and `{second}` have the same config; no key that differs counts in both")]
    Same { place: Place, first: String, second: String },

    #[error(transparent)]
    Stage(#[from] StageError),
}

impl From<StoreError> for SuiteError {
    fn from(error: StoreError) -> Self {
        Self::Stage(error.into())
    }
}

impl HasExitCode for SuiteError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::File(error) => error.exit_code(),
            Self::Cell { problem, .. } => problem.exit_code(),
            Self::Value { .. } | Self::Same { .. } => ExitCode::Usage,
            Self::Stage(error) => error.exit_code(),
        }
    }
}
