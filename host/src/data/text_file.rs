//! A file of running text: UTF-8, a byte-order mark left out, line ends kept as they are.
//!
//! What is no prose is refused by its content (`text_kind`): training on the braces of a JSON Lines file gives a loss and no warning.

use std::path::Path;

use super::error::DataError;
use super::text_kind::{foreign_bytes, foreign_text};
use crate::store::without_mark;

/// The text of `file`.
///
/// # Errors
/// An unreadable or empty file, another encoding, or another kind of file.
pub(super) fn read_text(file: &Path) -> Result<String, DataError> {
    let mut bytes = std::fs::read(file).map_err(|source| DataError::Read { file: file.to_owned(), source })?;
    let refused = |(found, advice): (&'static str, &'static str)| DataError::NoProse { file: file.to_owned(), found, advice };
    if let Some(kind) = foreign_bytes(&bytes) {
        return Err(refused(kind));
    }
    let marked = bytes.len() - without_mark(&bytes).map_err(|problem| encoding(file, &problem))?.len();
    bytes.drain(..marked);
    if let Some(byte) = bytes.iter().position(|byte| *byte == 0) {
        return Err(DataError::Nul { file: file.to_owned(), byte: byte + marked });
    }
    let utf8 = |byte| DataError::Utf8 { file: file.to_owned(), byte };
    let text = String::from_utf8(bytes).map_err(|error| utf8(error.utf8_error().valid_up_to() + marked))?;
    if text.trim().is_empty() {
        let found = format!("{} bytes", text.len());
        return Err(DataError::Empty { file: file.to_owned(), found, expected: "text" });
    }
    match foreign_text(&text) {
        Some(kind) => Err(refused(kind)),
        None => Ok(text),
    }
}

/// Another encoding, as a mark or a first character tells it.
pub(super) fn encoding(file: &Path, problem: &crate::store::ForeignEncoding) -> DataError {
    DataError::Encoding { file: file.to_owned(), message: problem.to_string() }
}
