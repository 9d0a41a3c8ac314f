//! Errors as data: what crosses the boundary is a code, a sentence and a piece of advice.
//!
//! Internal error enums never cross; a plugin's error reaches the person with the plugin's name, file and stage beside it.

use serde::{Deserialize, Serialize};

/// The kind of trouble that a [`PluginError`] reports; the host chooses its exit code from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// An option of the strategy is unknown, of the wrong type or out of range (exit 2).
    Options,
    /// The plugin was asked for something that it does not do (exit 4).
    Unsupported,
    /// The plugin failed, or returned something that cannot be right (exit 4).
    Failed,
    /// The plugin panicked; the fence in `export_plugin!` caught it (exit 4).
    Panicked,
    /// The host could not do what the plugin asked: an unknown tensor, shapes that do not fit (exit 4).
    Host,
    /// A number was not finite (exit 6).
    Numeric,
    /// The person asked to stop (exit 7).
    Interrupted,
}

/// An error of a plugin, or of the host towards a plugin. Plain data.
///
/// ```
/// use scaleot_plugin_api::{ErrorCode, PluginError};
/// let error = PluginError::new(ErrorCode::Options, "rank_ratio is 1.5, expected a share in (0, 1]")
///     .with_help("set rank_ratio = 0.8");
/// assert_eq!(error.to_string(), "rank_ratio is 1.5, expected a share in (0, 1]; set rank_ratio = 0.8");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}{}", self.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default())]
#[non_exhaustive]
pub struct PluginError {
    /// The kind of trouble.
    pub code: ErrorCode,
    /// One sentence: what was found and what was expected.
    pub message: String,
    /// Advice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl PluginError {
    /// An error with a code and a sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None }
    }

    /// An option that cannot be used.
    pub fn options(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Options, message)
    }

    /// Something that this strategy does not do.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unsupported, message)
    }

    /// A failure inside the strategy.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Failed, message)
    }

    /// A refusal by the host.
    pub fn host(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Host, message)
    }

    /// The same error with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<serde_json::Error> for PluginError {
    fn from(error: serde_json::Error) -> Self {
        Self::failed(format!("a message across the plugin boundary cannot be read: {error}"))
    }
}
