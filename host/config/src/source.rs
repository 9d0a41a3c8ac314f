//! From a file's bytes to a table whose every key has its line.
//!
//! Refused here: anything but a plain text file, TOML that does not parse, a key twice, a number that is not finite or
//! not representable, and text with a NUL, which no path or name may hold.

use std::fs;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::error::ConfigError;
use super::place::{KeyPath, Place, Places};
use scaleot_store::escape::{escape, escape_to};
use scaleot_store::kind_name;

/// Far above any real config, far below what a parser could choke on.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a config file as text.
///
/// # Errors
/// A file that cannot be read, is too large, or is not plain UTF-8 text.
pub fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_path_buf(), source };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        let found = kind_name(metadata.file_type());
        return Err(ConfigError::NotAFile { path: path.to_path_buf(), found });
    }
    if metadata.len() > MAX_BYTES {
        return Err(ConfigError::TooLarge { path: path.to_path_buf(), found: metadata.len(), limit: MAX_BYTES });
    }
    decode(path, fs::read(path).map_err(unreadable)?)
}

/// Takes plain UTF-8 only, and says of anything else what and where it is.
pub(super) fn decode(path: &Path, bytes: Vec<u8>) -> Result<String, ConfigError> {
    let refused = |offset, found| ConfigError::Encoding { path: path.to_path_buf(), offset, found };
    match bytes.as_slice() {
        [] => return Err(refused(0, "an empty file")),
        [0xef, 0xbb, 0xbf, ..] => return Err(refused(0, "a byte-order mark")),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Err(refused(0, "UTF-16")),
        _ => {}
    }
    if let Some(offset) = bytes.iter().position(|&byte| byte == 0) {
        return Err(refused(offset, "a NUL"));
    }
    String::from_utf8(bytes).map_err(|error| refused(error.utf8_error().valid_up_to(), "a byte that is not UTF-8"))
}

/// Parses a config's text.
///
/// # Errors
/// Text that is not TOML, a key twice, or a value that no config may have.
pub fn parse(path: &Path, text: &str) -> Result<(Table, Places), ConfigError> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let lines = Lines { path, text };
    if let Some(error) = errors.first() {
        return Err(lines.refused(document.get_ref(), error));
    }
    let mut walk = Walk { lines, places: Places::new(path) };
    let table = walk.table(document.get_ref(), &KeyPath::default())?;
    Ok((table, walk.places))
}

/// Parses one value of the command line; `None` if it is not exactly one TOML value.
pub(super) fn parse_value(text: &str, key: &KeyPath, places: &Places) -> Result<Option<Value>, ConfigError> {
    let document = format!("value = {text}");
    let Ok(parsed) = DeTable::parse(&document) else { return Ok(None) };
    let mut entries = parsed.get_ref().iter();
    let (Some((_, value)), None) = (entries.next(), entries.next()) else { return Ok(None) };
    // A comment or a line break would be cut off in silence.
    if value.span().end != document.trim_end().len() {
        return Ok(None);
    }
    convert_plain(value.get_ref(), key, &places.of(key)).map(Some)
}

struct Lines<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Lines<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    }

    /// The line of the key that `second` repeats. Of a repeated table the parser keeps the second header only, so
    /// that the first is found by its text.
    fn first_of(&self, partial: &DeTable<'_>, key: &str, second: &Range<usize>) -> Option<usize> {
        let header = |line: &str| line.trim().strip_suffix(']').map(str::to_owned);
        let before = self.line(second) - 1;
        if let Some(repeated) = self.text.lines().nth(before).and_then(header) {
            let earlier = self.text.lines().take(before).position(|line| header(line).as_ref() == Some(&repeated));
            return earlier.map(|index| index + 1);
        }
        key_before(partial, key.trim_matches(['"', '\'']), second.start).map(|span| self.line(&span))
    }

    fn refused(&self, partial: &DeTable<'_>, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or(0..0);
        let second = self.line(&span);
        let key = self.text.get(span.clone()).unwrap_or_default();
        if error.message().starts_with("duplicate key")
            && let Some(first) = self.first_of(partial, key, &span)
        {
            let (path, key) = (self.path.to_path_buf(), escape_to(key.trim_matches(['"', '\'']), 60));
            return ConfigError::DuplicateKey { path, key, first, second };
        }
        let place = Place::Line { path: self.path.to_path_buf(), line: second };
        ConfigError::Syntax { place, problem: escape(error.message()) }
    }
}

/// The last key of a name before `second`: what the parser kept when the name came again.
fn key_before(table: &DeTable<'_>, name: &str, second: usize) -> Option<Range<usize>> {
    let mut found = None;
    let mut note = |span: Range<usize>| {
        if span.start < second && found.as_ref().is_none_or(|best: &Range<usize>| best.start < span.start) {
            found = Some(span);
        }
    };
    for (key, value) in table {
        if key.get_ref() == name {
            note(key.span());
        }
        if let DeValue::Table(inner) = value.get_ref()
            && let Some(span) = key_before(inner, name, second)
        {
            note(span);
        }
    }
    found
}

struct Walk<'a> {
    lines: Lines<'a>,
    places: Places,
}

impl Walk<'_> {
    fn table(&mut self, table: &DeTable<'_>, at: &KeyPath) -> Result<Table, ConfigError> {
        let mut plain = Table::new();
        for (key, value) in table {
            let at = at.key(key.get_ref());
            self.places.put_line(at.clone(), self.lines.line(&key.span()));
            plain.insert(key.get_ref().to_string(), self.value(value, &at)?);
        }
        Ok(plain)
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, at: &KeyPath) -> Result<Value, ConfigError> {
        match value.get_ref() {
            DeValue::Table(table) => self.table(table, at).map(Value::Table),
            DeValue::Array(items) => {
                let mut plain = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    let at = at.index(index);
                    self.places.put_line(at.clone(), self.lines.line(&item.span()));
                    plain.push(self.value(item, &at)?);
                }
                Ok(Value::Array(plain))
            }
            leaf => convert_plain(leaf, at, &self.places.of(at)),
        }
    }
}

/// Converts a value of the command line, or a leaf of the file.
fn convert_plain(value: &DeValue<'_>, at: &KeyPath, place: &Place) -> Result<Value, ConfigError> {
    let refused = |found: String, expected: &str| ConfigError::Value {
        place: place.clone(),
        key: at.clone(),
        found,
        expected: expected.to_owned(),
    };
    match value {
        DeValue::String(text) if text.contains('\0') => Err(refused("text with a NUL".to_owned(), "text without it")),
        DeValue::String(text) => Ok(Value::String(text.to_string())),
        DeValue::Boolean(flag) => Ok(Value::Boolean(*flag)),
        DeValue::Datetime(date) => Ok(Value::Datetime(*date)),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            let expected = "a whole number within -2^63 to 2^63-1";
            parsed.map(Value::Integer).map_err(|_| refused(escape_to(&number.to_string(), 40), expected))
        }
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(finite) if finite.is_finite() => Ok(Value::Float(finite)),
            _ => Err(refused(escape_to(number.as_str(), 40), "a finite number")),
        },
        DeValue::Array(items) => {
            let convert =
                |(index, item): (usize, &Spanned<DeValue<'_>>)| convert_plain(item.get_ref(), &at.index(index), place);
            items.iter().enumerate().map(convert).collect::<Result<_, _>>().map(Value::Array)
        }
        DeValue::Table(table) => {
            let convert = |(key, value): (&Spanned<toml::de::DeString<'_>>, &Spanned<DeValue<'_>>)| {
                let plain = convert_plain(value.get_ref(), &at.key(key.get_ref()), place)?;
                Ok((key.get_ref().to_string(), plain))
            };
            table.iter().map(convert).collect::<Result<_, _>>().map(Value::Table)
        }
    }
}
