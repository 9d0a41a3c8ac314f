//! JSON Lines, one object a line, read with a bound on memory.
//!
//! Blank lines are skipped, CRLF and LF may mix, lines count from 1. A byte-order mark before the first line is left out.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde_json::{Map, Value};

use super::error::{DataError, quote};
use super::text_file::{encoding, other_kind};
use super::text_kind::foreign_bytes;
use super::tokenizer_check::kind;
use scaleot_store::without_mark;

/// No question of the published sets comes near; a file without line ends is refused here instead of filling memory.
const LINE_LIMIT: usize = 4 << 20;

/// One object and the line that it stood on.
pub(crate) struct Row {
    pub line: usize,
    pub fields: Map<String, Value>,
}

/// Every object of `file`, in order.
///
/// # Errors
/// A missing or empty file, or the first line that is not an object.
pub(crate) fn read(file: &Path) -> Result<Vec<Row>, DataError> {
    let failed = |source| DataError::Read { file: file.to_owned(), source };
    let mut reader = BufReader::new(File::open(file).map_err(failed)?);
    let mut rows = Vec::new();
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        // One byte past the limit tells a line that is too long from one that just fits.
        let mut bounded = reader.by_ref().take(LINE_LIMIT as u64 + 1);
        if bounded.read_until(b'\n', &mut bytes).map_err(failed)? == 0 {
            break;
        }
        if bytes.len() > LINE_LIMIT {
            return Err(DataError::LongLine { file: file.to_owned(), line, limit: LINE_LIMIT });
        }
        let line_bytes = if line == 1 { beginning(&bytes, file)? } else { bytes.as_slice() };
        if let Some(fields) = parse(line_bytes, file, line)? {
            rows.push(Row { line, fields });
        }
    }
    if rows.is_empty() {
        let size = file.metadata().map_err(failed)?.len();
        return Err(DataError::Empty { file: file.to_owned(), found: format!("{size} bytes"), expected: "question" });
    }
    Ok(rows)
}

/// The first line without a byte-order mark; it shows a file of another kind.
fn beginning<'a>(bytes: &'a [u8], file: &Path) -> Result<&'a [u8], DataError> {
    match foreign_bytes(bytes) {
        Some(kind) => Err(other_kind(file, kind, "one question a line (JSON Lines)")),
        None => without_mark(bytes).map_err(|problem| encoding(file, &problem)),
    }
}

fn parse(bytes: &[u8], file: &Path, line: usize) -> Result<Option<Map<String, Value>>, DataError> {
    let text = std::str::from_utf8(bytes).map_err(|error| DataError::LineUtf8 {
        file: file.to_owned(),
        line,
        byte: error.valid_up_to(),
    })?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let refuse = |message: String| DataError::Line { file: file.to_owned(), line, message };
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => Ok(Some(fields)),
        Ok(other) => Err(refuse(format!("found {}", kind(Some(&other))))),
        // serde_json's own message ends in a line number, always 1 here.
        Err(error) => Err(refuse(format!("column {}: found {}", error.column(), quote(text.trim_end())))),
    }
}
