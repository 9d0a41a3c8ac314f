//! The kind of a file, by its content, where it is no running text: a container (by its magic bytes), JSON or a table.
//!
//! Prose, Markdown, HTML and source code are text, also where they begin with a brace or hold some lines of JSON.
//! JSON Lines: more than half of the lines are objects or lists. JSON: the whole parses, or begins with a key and ends with a brace.
//! A table: nearly every record has as many fields as the first, and the first looks like names of columns, or is quoted throughout.

use serde::de::IgnoredAny;
use serde_json::Value;

/// A kind of file that is no running text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// Its name in a message.
    pub(super) name: &'static str,
    /// The way from it to a text.
    pub(super) advice: &'static str,
}

impl Kind {
    const fn new(name: &'static str, advice: &'static str) -> Self {
        Self { name, advice }
    }
}

/// Bytes that are looked at.
pub(super) const HEAD: usize = 1 << 18;
/// Lines and records that are looked at.
const LINES: usize = 400;

const UNPACK: &str = "Unpack it, or save its text as UTF-8";
const EXPORT: &str = "Export the column with the text to a plain text file";
const OBJECTS: &str = "Write the texts themselves to a file (for one field: `jq -r .text FILE`), or describe its lines as a task (data.task)";
const COLUMNS: &str =
    "Write the column with the text to a plain text file, or describe its lines as a task (data.task)";

/// Magic bytes at the start of a file: containers that people take for text, or that hold it.
const MAGIC: [(&[u8], &str, &str); 17] = [
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"PK\x03\x04", "a ZIP archive, or an office document", UNPACK),
    (b"\xfd7zXZ\0", "an xz archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (b"%PDF-", "a PDF document", "Extract its text (for example with `pdftotext`)"),
    (b"{\\rtf", "an RTF document", "Save it as plain text"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an office document", "Save it as plain text"),
    (b"SQLite format 3\0", "an SQLite database", EXPORT),
    (b"ARROW1\0\0", "an Arrow file", EXPORT),
    (b"Obj\x01", "an Avro file", EXPORT),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", EXPORT),
    (b"\x93NUMPY", "a NumPy array", EXPORT),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture", "Give a text file"),
    (b"\xff\xd8\xff", "a JPEG picture", "Give a text file"),
    (b"\x7fELF", "a program", "Give a text file"),
];

/// Names of columns that data sets for language models have.
const COLUMN_NAMES: [&str; 24] = [
    "text",
    "content",
    "prompt",
    "completion",
    "question",
    "answer",
    "instruction",
    "input",
    "output",
    "response",
    "context",
    "sentence",
    "label",
    "id",
    "title",
    "body",
    "message",
    "messages",
    "target",
    "source",
    "document",
    "article",
    "summary",
    "choices",
];

/// A file that is no text at all, by its first bytes.
pub(super) fn foreign_bytes(bytes: &[u8]) -> Option<Kind> {
    let magic =
        MAGIC.iter().find(|(magic, ..)| bytes.starts_with(magic)).map(|(_, name, advice)| Kind::new(name, advice));
    let parquet =
        bytes.starts_with(b"PAR1") && bytes.get(4).is_some_and(|byte| !byte.is_ascii_graphic() && *byte != b' ');
    let bzip2 = bytes.starts_with(b"BZh") && bytes.get(4..10) == Some(b"\x31\x41\x59\x26\x53\x59");
    let tar = bytes.get(257..262) == Some(b"ustar") && bytes.iter().take(257).any(|byte| *byte == 0);
    magic
        .or(parquet.then_some(Kind::new("a Parquet file", EXPORT)))
        .or(bzip2.then_some(Kind::new("a bzip2 archive", UNPACK)))
        .or(tar.then_some(Kind::new("a tar archive", UNPACK)))
}

/// Text that is data, by its structure; of a text that is not `whole` only the beginning is at hand.
pub(super) fn foreign_text(text: &str, whole: bool) -> Option<Kind> {
    let head = head(text, whole);
    if is_json_lines(head) {
        return Some(Kind::new("JSON Lines", OBJECTS));
    }
    if whole && is_json(text) {
        return Some(Kind::new("JSON", OBJECTS));
    }
    let tables = [
        (b',', "a table of comma-separated values"),
        (b'\t', "a table of tab-separated values"),
        (b';', "a table of values separated by semicolons"),
    ];
    tables.into_iter().find(|(delimiter, _)| is_table(head, *delimiter)).map(|(_, name)| Kind::new(name, COLUMNS))
}

/// The whole lines at the start.
fn head(text: &str, whole: bool) -> &str {
    if whole && text.len() <= HEAD {
        return text;
    }
    let cut = text.as_bytes().get(..HEAD).unwrap_or(text.as_bytes());
    let end = cut.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    text.get(..end).unwrap_or(text)
}

fn is_json_lines(head: &str) -> bool {
    let lines: Vec<&str> = head.lines().map(str::trim).filter(|line| !line.is_empty()).take(LINES).collect();
    let is_data = |line: &&&str| match line.starts_with(['{', '[']).then(|| serde_json::from_str(line)) {
        Some(Ok(Value::Object(fields))) => !fields.is_empty(),
        // "[1]" alone on a line is a footnote.
        Some(Ok(Value::Array(items))) => items.len() > 1,
        _ => false,
    };
    // One object alone is JSON, whichever way it is laid out.
    2 * lines.iter().filter(is_data).count() > lines.len() && lines.len() > 1
}

fn is_json(text: &str) -> bool {
    let text = text.trim();
    if !text.starts_with(['{', '[']) {
        return false;
    }
    let whole = serde_json::from_str::<IgnoredAny>(text).is_ok() && text.contains(['"', ',']);
    whole || (begins_with_a_key(text) && text.ends_with(['}', ']']))
}

/// `{"key":` or `[{"key":`, as an object that does not parse begins (cut short, or with a NaN).
fn begins_with_a_key(text: &str) -> bool {
    let text = text.strip_prefix('[').map_or(text, str::trim_start);
    let Some(text) = text.strip_prefix('{').map(str::trim_start).and_then(|text| text.strip_prefix('"')) else {
        return false;
    };
    let key = text.split_once('"').filter(|(key, _)| !key.contains('\n'));
    key.is_some_and(|(_, after)| after.trim_start().starts_with(':'))
}

fn is_table(head: &str, delimiter: u8) -> bool {
    let mut reader = csv::ReaderBuilder::new();
    let mut reader = reader.delimiter(delimiter).has_headers(false).flexible(true).from_reader(head.as_bytes());
    let records: Vec<csv::StringRecord> = reader.records().take(LINES).filter_map(Result::ok).collect();
    let Some((names, rows)) = records.split_first() else { return false };
    let regular = rows.iter().filter(|row| row.len() == names.len()).count();
    let known = |name: &str| COLUMN_NAMES.contains(&name.trim().to_ascii_lowercase().as_str());
    let named = names.iter().all(is_column_name) || names.iter().all(known);
    let enough = if names.iter().any(known) { 1 } else { 3 };
    let of_columns = named || is_quoted(head, delimiter);
    names.len() > 1 && rows.len() >= enough && 20 * regular >= 19 * rows.len() && of_columns
}

/// A short name without the marks of a sentence.
fn is_column_name(name: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || "_-. ?()/#%".contains(c);
    let begins = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    begins && !name.ends_with(['.', ' ']) && name.len() <= 40 && name.chars().all(inner) && name.split(' ').count() <= 3
}

/// `"…","…"`, as a spreadsheet writes a table without names.
fn is_quoted(head: &str, delimiter: u8) -> bool {
    let between = format!("\"{}\"", char::from(delimiter));
    let first = head.lines().next().unwrap_or_default().trim_end();
    first.starts_with('"') && first.ends_with('"') && first.contains(&between)
}

#[cfg(test)]
#[path = "text_kind_tests.rs"]
mod tests;
