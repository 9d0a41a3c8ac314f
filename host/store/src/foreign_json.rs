//! JSON as Python's `json` module writes it, in files that Transformers wrote: also `NaN`, `Infinity`, `-Infinity` and numbers
//! beyond the range of 64 bits, which Python reads as infinite.
//!
//! Each becomes `{"__float__": "Infinity"}`: so Transformers 5 writes them itself (`_encode_special_floats`) and reads them
//! back, and no reader takes one for a number.

use serde_json::Value;

use super::byte_order_mark::{ForeignEncoding, without_mark};

/// The key under which Transformers 5 keeps a number that JSON has no word for.
const TAG: &str = "__float__";

/// The reason why a text was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForeignJsonError {
    #[error(transparent)]
    Encoding(#[from] ForeignEncoding),
    #[error("not JSON: {message}; is the download complete?")]
    Cut { message: String },
    #[error("not JSON: {message}; correct it, or fetch the file again")]
    Syntax { message: String },
}

/// Parses one JSON value; a byte-order mark before it is left out.
///
/// # Errors
/// Another encoding than UTF-8, a text that ends too early, or one that is not JSON.
pub fn parse(bytes: &[u8]) -> Result<Value, ForeignJsonError> {
    let text = without_mark(bytes)?;
    if text.is_empty() {
        return Err(ForeignJsonError::Cut { message: "the file is empty".to_owned() });
    }
    let plain = serde_json::from_slice(text);
    plain.or_else(|_| serde_json::from_slice(&tag_special_numbers(text))).map_err(|error| {
        let message = error.to_string();
        if error.is_eof() { ForeignJsonError::Cut { message } } else { ForeignJsonError::Syntax { message } }
    })
}

/// The word of a number that JSON cannot hold, if `value` stands for one.
pub fn special_number(value: &Value) -> Option<&str> {
    let map = value.as_object().filter(|map| map.len() == 1)?;
    map.get(TAG)?.as_str().filter(|word| ["NaN", "Infinity", "-Infinity"].contains(word))
}

/// The text with every number that JSON cannot hold in its tagged form; strings stay as they are.
fn tag_special_numbers(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let taken = match first {
            b'"' => string_end(rest),
            b'N' | b'I' | b'-' | b'0'..=b'9' => {
                let (word, length) = number(rest);
                if let Some(word) = word {
                    out.extend_from_slice(format!("{{\"{TAG}\": \"{word}\"}}").as_bytes());
                    rest = rest.get(length..).unwrap_or_default();
                    continue;
                }
                length
            }
            _ => rest.len() - tail.len(),
        };
        let (done, next) = rest.split_at(taken.min(rest.len()));
        out.extend_from_slice(done);
        rest = next;
    }
    out
}

/// The length of the string that `text` begins with, its quotes included.
fn string_end(text: &[u8]) -> usize {
    let mut escaped = false;
    for (index, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// The word for the number that `text` begins with, where JSON cannot hold it, and how many bytes the number has.
fn number(text: &[u8]) -> (Option<&'static str>, usize) {
    for word in ["NaN", "Infinity", "-Infinity"] {
        if text.starts_with(word.as_bytes()) {
            return (Some(word), word.len());
        }
    }
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let length = text.iter().take_while(|byte| is_part(byte)).count().max(1);
    let value = text.get(..length).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<f64>().ok());
    let word =
        value.filter(|value| value.is_infinite()).map(|value| if value > 0.0 { "Infinity" } else { "-Infinity" });
    (word, length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(text: &[u8]) -> String {
        parse(text).unwrap_err().to_string()
    }

    /// The left sides are what Python 3.11's `json.dumps` gives for `float("inf")`, `float("-inf")` and `float("nan")`.
    #[test]
    fn numbers_that_python_writes_and_json_has_not() {
        let text =
            br#"{"a": Infinity, "b": [-Infinity, NaN], "c": 1e999, "d": -1E+999, "e": -1.5e3, "f": "NaN \" Infinity"}"#;
        let tag = |word: &str| json!({ "__float__": word });
        let expected = json!({
            "a": tag("Infinity"), "b": [tag("-Infinity"), tag("NaN")], "c": tag("Infinity"), "d": tag("-Infinity"),
            "e": -1500.0, "f": "NaN \" Infinity",
        });
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(parse(b"NaN").unwrap(), tag("NaN"));
        assert_eq!(special_number(&tag("NaN")), Some("NaN"));
        assert_eq!(special_number(&json!({ "__float__": "one" })), None);
        assert_eq!(special_number(&json!("NaN")), None);
    }

    #[test]
    fn a_mark_is_left_out_and_other_encodings_are_named() {
        assert_eq!(parse(b"\xef\xbb\xbf{\"a\": NaN}").unwrap(), json!({ "a": { "__float__": "NaN" } }));
        assert_eq!(refused(b"\xff\xfe{\0}\0"), "found UTF-16, expected UTF-8; save the file as UTF-8");
    }

    #[test]
    fn what_ends_early_and_what_is_wrong_are_told_apart() {
        assert_eq!(refused(b""), "not JSON: the file is empty; is the download complete?");
        assert_eq!(refused(b"\xef\xbb\xbf"), "not JSON: the file is empty; is the download complete?");
        let cut = "not JSON: EOF while parsing an object at line 1 column 9; is the download complete?";
        assert_eq!(refused(b"{\"a\": 123"), cut);
        let wrong = "not JSON: expected ident at line 2 column 7; correct it, or fetch the file again";
        assert_eq!(refused(b"{\n\"a\": nan}"), wrong);
        assert!(refused(b"{\"a\": Inf}").starts_with("not JSON: expected value"));
        assert!(refused(b"{\"a\": --1}").ends_with("correct it, or fetch the file again"));
    }
}
