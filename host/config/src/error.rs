//! Every way in which a config is refused.
//!
//! Rule: file and line (or the override), key, found, expected. Foreign text is escaped before it gets here.

use std::io;
use std::path::PathBuf;

use super::choices::StrategyKind;
use super::place::{KeyPath, Place};
use scaleot_store::exit_code::{ExitCode, HasExitCode};

/// A refused config.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },

    #[error("{}: found a {found}, expected a config file", path.display())]
    NotAFile { path: PathBuf, found: &'static str },

    #[error("{}: found {found} bytes, expected a config of at most {limit}", path.display())]
    TooLarge { path: PathBuf, found: u64, limit: u64 },

    #[error("{}: byte {offset}: found {found}, expected plain UTF-8 text", path.display())]
    Encoding { path: PathBuf, offset: usize, found: &'static str },

    #[error("{place}: not valid TOML: {problem}")]
    Syntax { place: Place, problem: String },

    #[error("{}, lines {first} and {second}: key `{key}`: found twice, expected once", path.display())]
    DuplicateKey { path: PathBuf, key: String, first: usize, second: usize },

    #[error("{place}: key `{key}`: unknown{hint}")]
    UnknownKey { place: Place, key: KeyPath, hint: String },

    #[error("{place}: key `{key}`: is called `{new}` now")]
    Renamed { place: Place, key: KeyPath, new: &'static str },

    #[error("{place}: key `{key}`: missing, expected {expected}")]
    MissingKey { place: Place, key: KeyPath, expected: String },

    #[error("{place}: key `{key}`: found {found}, expected {expected}")]
    Value { place: Place, key: KeyPath, found: String, expected: String },

    #[error("{place}: key `version`: found {found}; this program reads version {newest}, so a newer scaleot is needed")]
    NewerVersion { place: Place, found: i64, newest: i64 },

    #[error("{place}: found both `{first}` and `{second}`, expected one of them")]
    Both { place: Place, first: KeyPath, second: KeyPath },

    #[error("{place}: found neither `{first}` nor `{second}`, expected one of them, because `scaleot {verb}` needs it")]
    Neither { place: Place, first: KeyPath, second: KeyPath, verb: &'static str },

    #[error("{place}: key `{key}`: missing, expected {expected}, because `scaleot {verb}` needs it")]
    Needed { place: Place, key: KeyPath, expected: &'static str, verb: &'static str },

    #[error("override `{second}`: key `{key}`: found twice, expected once; `{first}` is given as well")]
    OverrideTwice { key: KeyPath, first: String, second: String },

    #[error("override `{text}`: {problem}, expected `key.path=value`")]
    Override { text: String, problem: String },

    #[error("{place}: key `{key}`: found `{path}`, {problem}")]
    Path { place: Place, key: KeyPath, path: String, problem: String },

    #[error(
        "{place}: key `output`: found `{}`, which is or lies in `model.path` (`{}`); choose a folder outside the model's",
        output.display(), model.display()
    )]
    OutputInModel { place: Place, output: PathBuf, model: PathBuf },

    #[error("{place}: key `{key}`: no plugin offers `{found}`{hint}")]
    UnknownStrategy { place: Place, key: KeyPath, found: String, hint: String },

    #[error("{place}: key `{key}`: `{found}` is a strategy of `{kind}`, expected one of `{expected}`{hint}")]
    WrongKind { place: Place, key: KeyPath, found: String, kind: StrategyKind, expected: StrategyKind, hint: String },

    #[error("{problem} (an option of `{strategy}`)")]
    Option { strategy: String, problem: Box<ConfigError> },

    #[error("{}: passed the schema but not the types: {problem}. This is a fault of ours, please report it", path.display())]
    Types { path: PathBuf, problem: String },
}

impl ConfigError {
    /// The override that is at fault, if one is.
    pub fn blamed_override(&self) -> Option<&str> {
        match self {
            Self::Override { text, .. } | Self::OverrideTwice { second: text, .. } => Some(text),
            Self::Option { problem, .. } => problem.blamed_override(),
            Self::UnknownKey { place, .. }
            | Self::Renamed { place, .. }
            | Self::MissingKey { place, .. }
            | Self::Value { place, .. }
            | Self::NewerVersion { place, .. }
            | Self::Both { place, .. }
            | Self::Neither { place, .. }
            | Self::Needed { place, .. }
            | Self::Path { place, .. }
            | Self::OutputInModel { place, .. }
            | Self::UnknownStrategy { place, .. }
            | Self::WrongKind { place, .. } => match place {
                Place::Override { text } => Some(text),
                Place::Line { .. } | Place::File { .. } => None,
            },
            _ => None,
        }
    }
}

impl HasExitCode for ConfigError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Types { .. } => ExitCode::Bug,
            _ => ExitCode::Usage,
        }
    }
}
