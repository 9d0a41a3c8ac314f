//! Failures of a stage. Every variant knows its exit code; the sentence comes from the place of the fault.

use crate::evaluation::EvaluateError;
use scaleot_config::ConfigError;
use scaleot_data::{DataError, TokenizerError};
use scaleot_model::ModelError;
use scaleot_plugin_api::{ErrorCode, PluginError};
use scaleot_plugins::{PackError, PluginFault};
use scaleot_store::StoreError;
use scaleot_store::exit_code::{ExitCode, HasExitCode};
use scaleot_tensor::TensorError;

/// A stage's failure.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The config does not fit the model or the plugin.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A model folder was refused, or a model cannot run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// A file or folder could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A data set was refused.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A tokenizer was refused.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// An evaluation could not be finished.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// A plugin was refused or failed.
    #[error(transparent)]
    Plugin(#[from] PluginFault),
    /// An earlier stage has not run.
    #[error("{run}: no {artefact} yet; run `scaleot {verb}` with this config first")]
    Missing { run: String, artefact: &'static str, verb: &'static str },
    /// A file or folder that fits neither the model nor the other artefacts.
    #[error("{path}: {what}: found {found}, expected {expected}")]
    InvalidArtefact { path: String, what: String, found: String, expected: String },
    /// A part of a plan, an adapter, an objective or a question that cannot be.
    #[error("{subject}: {what}: found {found}, expected {expected}")]
    InvalidValue { subject: String, what: String, found: String, expected: String },
    /// A loss or gradient that is not finite.
    #[error("step {step}: {what} is {found}, expected a finite number; nothing of this step was kept. {advice}")]
    Numeric { step: u64, what: String, found: f64, advice: &'static str },
    /// Asked to stop.
    #[error("interrupted in {stage} at step {step}; the same command continues from there")]
    Interrupted { stage: &'static str, step: u64 },
    /// Asked to stop where nothing of the stage is kept yet.
    #[error("interrupted in {stage}; the same command keeps the stages that are done and starts this one again")]
    Stopped { stage: &'static str },
}

impl HasExitCode for StageError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(error) => error.exit_code(),
            Self::Store(error) => error.exit_code(),
            Self::Data(error) => error.exit_code(),
            Self::Tokenizer(error) => error.exit_code(),
            Self::Evaluate(error) => error.exit_code(),
            Self::Numeric { .. } => ExitCode::Numeric,
            Self::Model(ModelError::Store(error)) => error.exit_code(),
            Self::Tensor(error) => tensor_exit_code(error),
            Self::Model(ModelError::Tensor(error)) => tensor_exit_code(error),
            Self::Model(_) | Self::InvalidArtefact { .. } | Self::InvalidValue { .. } => ExitCode::Refused,
            Self::Plugin(fault) => plugin_exit_code(fault),
            Self::Missing { .. } => ExitCode::Usage,
            Self::Interrupted { .. } | Self::Stopped { .. } => ExitCode::Interrupted,
        }
    }
}

/// A device that is absent, and memory that cannot be had, are resources; the rest is a fault of ours.
fn tensor_exit_code(error: &TensorError) -> ExitCode {
    match error {
        TensorError::DeviceName { .. } => ExitCode::Usage,
        TensorError::Torch { .. } if !error.is_out_of_memory() => ExitCode::Bug,
        _ => ExitCode::Resources,
    }
}

fn plugin_exit_code(fault: &PluginFault) -> ExitCode {
    match (fault, fault.code()) {
        (PluginFault::Name { .. } | PluginFault::NotFound { .. } | PluginFault::NoStrategy { .. }, _)
        | (PluginFault::WrongKind { .. } | PluginFault::Options { .. } | PluginFault::LockFile { .. }, _)
        | (_, Some(ErrorCode::Options)) => ExitCode::Usage,
        (_, Some(ErrorCode::Numeric)) => ExitCode::Numeric,
        (_, Some(ErrorCode::Interrupted)) => ExitCode::Interrupted,
        _ => ExitCode::Plugin,
    }
}

impl From<PackError> for StageError {
    fn from(fault: PackError) -> Self {
        match fault {
            PackError::Plugin(fault) => Self::Plugin(fault),
            PackError::Store(error) => Self::Store(error),
        }
    }
}

/// The error that a plugin gets when the host fails inside one of its calls.
pub fn told_to_plugin(error: &StageError) -> PluginError {
    let code = match error.exit_code() {
        ExitCode::Numeric => ErrorCode::Numeric,
        ExitCode::Interrupted => ErrorCode::Interrupted,
        _ => ErrorCode::Host,
    };
    PluginError::new(code, error.to_string())
}
