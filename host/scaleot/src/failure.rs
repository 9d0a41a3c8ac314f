//! The errors of the program, each with its exit code and its sentence.

use scaleot_pipeline::error::StageError;
use scaleot_store::escape::escape_to;
use scaleot_store::exit_code::{ExitCode, HasExitCode};
use std::fmt::Display;

/// Errors that only the program itself has.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// Results that cannot be written.
    #[error("stdout: {0}")]
    Stdout(std::io::Error),
    /// A command line that does not make sense.
    #[error("{0}")]
    Usage(String),
    /// A checked folder or plugin that is not what it should be.
    #[error("{0}")]
    Found(String, ExitCode),
    /// A document of ours that does not become JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A table of ours that does not become CSV.
    #[error(transparent)]
    Csv(#[from] csv::Error),
    /// A signal handler that the system does not take.
    #[error(transparent)]
    Signals(#[from] ctrlc::Error),
    /// The system does not name this program's own file.
    #[error("this program's own path")]
    OwnPath(#[source] std::io::Error),
}

impl HasExitCode for ProgramError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Stdout(_) => ExitCode::Resources,
            Self::Usage(_) => ExitCode::Usage,
            Self::Found(_, code) => *code,
            Self::Json(_) | Self::Csv(_) | Self::Signals(_) | Self::OwnPath(_) => ExitCode::Bug,
        }
    }
}

/// A verb that did not do its work.
#[derive(Debug)]
pub enum VerbError {
    /// An error of any part of the program. Its exit code is taken where its type is still known; after that only its words count.
    Failed { code: ExitCode, error: anyhow::Error },
    /// An error that the person has read already.
    AlreadyReported(ExitCode),
    /// A reader of our results who has left, which is no error.
    StdoutClosed,
}

/// The outcome of a verb, or of a part of one.
pub type VerbResult<T> = Result<T, VerbError>;

impl<E: HasExitCode + Send + Sync + 'static> From<E> for VerbError {
    fn from(error: E) -> Self {
        Self::Failed { code: error.exit_code(), error: error.into() }
    }
}

impl VerbError {
    /// The exit status that the error ends the program with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed { code, .. } | Self::AlreadyReported(code) => *code,
            Self::StdoutClosed => ExitCode::Done,
        }
    }

    /// Puts words before the error.
    pub fn with_context<C: Display + Send + Sync + 'static>(self, context: impl FnOnce() -> C) -> Self {
        match self {
            Self::Failed { code, error } => Self::Failed { code, error: error.context(context()) },
            other => other,
        }
    }

    /// The error and its causes, each said once, made safe for a terminal; `None` where nothing is left to say.
    pub fn sentence(&self) -> Option<String> {
        let Self::Failed { error, .. } = self else { return None };
        let mut text = String::new();
        for cause in error.chain().map(ToString::to_string) {
            // Most of our messages end with their cause's.
            if !text.contains(&cause) {
                text += if text.is_empty() { "" } else { ": " };
                text += &cause;
            }
        }
        Some(safe(&text))
    }
}

/// Words put before an error, such as the place in a config that it is about.
pub trait ErrorContext<T> {
    /// Puts the words before the error, if there is one.
    fn with_context<C: Display + Send + Sync + 'static>(self, context: impl FnOnce() -> C) -> VerbResult<T>;
}

impl<T, E: Into<VerbError>> ErrorContext<T> for Result<T, E> {
    fn with_context<C: Display + Send + Sync + 'static>(self, context: impl FnOnce() -> C) -> VerbResult<T> {
        self.map_err(|error| error.into().with_context(context))
    }
}

/// Any error of the runtime under its exit code.
pub fn stage<T, E: Into<StageError>>(outcome: Result<T, E>) -> Result<T, StageError> {
    outcome.map_err(Into::into)
}

/// The greatest length of a message: a list of names fits, a flood from a foreign file does not.
pub(super) const MESSAGE_LIMIT: usize = 4000;

/// Foreign text cannot drive the terminal, nor begin a line of its own.
pub(super) fn safe(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| escape_to(line, MESSAGE_LIMIT)).collect();
    lines.join("\n  ")
}
