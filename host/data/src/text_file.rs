//! A file of running text: UTF-8, a byte-order mark left out, line ends kept as they are.
//!
//! Files without prose are refused by their content (`text_kind`): training on the braces of a JSON Lines file gives a loss and no warning.

use std::io::Read as _;
use std::path::Path;

use super::error::DataError;
use super::text_kind::{HEAD, Kind, foreign_bytes, foreign_text};
use scaleot_store::without_mark;

/// The text of `file`.
///
/// # Errors
/// An unreadable or empty file, another encoding, or another kind of file.
pub(super) fn read_text(file: &Path) -> Result<String, DataError> {
    let mut bytes = std::fs::read(file).map_err(|source| DataError::Read { file: file.to_owned(), source })?;
    let refused = |kind| other_kind(file, kind, "running text");
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
    match foreign_text(&text, true) {
        Some(kind) => Err(refused(kind)),
        None => Ok(text),
    }
}

/// Looks at the beginning of `file` alone: what no stage could read as running text is told before any runs.
///
/// # Errors
/// An unreadable file, another encoding, or another kind of file.
pub fn check_text(file: &Path) -> Result<(), DataError> {
    let failed = |source| DataError::Read { file: file.to_owned(), source };
    let mut head = Vec::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    opened.take(HEAD as u64 + 1).read_to_end(&mut head).map_err(failed)?;
    let whole = head.len() <= HEAD;
    let refused = |kind| Err(other_kind(file, kind, "running text"));
    if let Some(kind) = foreign_bytes(&head) {
        return refused(kind);
    }
    let plain = without_mark(&head).map_err(|problem| encoding(file, &problem))?;
    // The last character may be cut; what else is no UTF-8 is told when all is read.
    let valid = std::str::from_utf8(plain).map_or_else(|error| error.valid_up_to(), str::len);
    match plain
        .get(..valid)
        .and_then(|plain| std::str::from_utf8(plain).ok())
        .and_then(|text| foreign_text(text, whole))
    {
        Some(kind) => refused(kind),
        None => Ok(()),
    }
}

/// A file of another kind than was `expected`.
pub(super) fn other_kind(file: &Path, kind: Kind, expected: &'static str) -> DataError {
    DataError::OtherKind { file: file.to_owned(), found: kind.name, expected, advice: kind.advice }
}

/// Another encoding, as a mark or a first character tells it.
pub(super) fn encoding(file: &Path, problem: &scaleot_store::ForeignEncoding) -> DataError {
    DataError::Encoding { file: file.to_owned(), message: problem.to_string() }
}
