//! Foreign TOML into a type: strict, and a refusal is one line that names the line.

use scaleot_store::without_mark;
use serde::de::DeserializeOwned;

/// The value of a text.
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

/// The text of a file that may begin with a byte-order mark.
///
/// # Errors
/// Another encoding than UTF-8.
pub(super) fn plain_text(bytes: &[u8]) -> Result<&str, String> {
    let text = without_mark(bytes).map_err(|error| error.to_string())?;
    std::str::from_utf8(text)
        .map_err(|error| format!("found a byte that is not UTF-8 at {}, expected UTF-8", error.valid_up_to()))
}

#[cfg(test)]
mod tests {
    use super::plain_text;

    #[test]
    fn a_mark_is_left_out_and_utf16_is_named() {
        assert_eq!(plain_text(b"\xef\xbb\xbfversion = 1").unwrap(), "version = 1");
        assert_eq!(plain_text(b"\xff\xfev\0").unwrap_err(), "found UTF-16, expected UTF-8; save the file as UTF-8");
        assert_eq!(plain_text(b"ab\xff").unwrap_err(), "found a byte that is not UTF-8 at 2, expected UTF-8");
    }
}
