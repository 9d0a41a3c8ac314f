//! Foreign TOML into a type: strict, and a refusal is one line that names the line.

use serde::de::DeserializeOwned;

/// What a text holds.
///
/// # Errors
/// `line 3: unknown field `x`, expected …`.
pub(super) fn read_toml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| {
        let message = error.message().replace('\n', ", ");
        match error.span().and_then(|span| text.get(..span.start)) {
            Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
            None => message,
        }
    })
}
