//! JSON as we take it from strangers: no key twice, and one written form for what we write ourselves.
//!
//! `serde_json` keeps the last of two equal keys in silence; two readers may then disagree about one file.
//! The written form: keys sorted, two spaces of indent, one newline at the end. Equal values are equal bytes.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::escape::escape_to;

/// JSON that was refused, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonError {
    /// Bytes from the start of the text.
    pub offset: usize,
    pub problem: String,
}

/// Parses one JSON value that fills the whole of `bytes`; nesting is limited to 128.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    StrictValue
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| problem_of(bytes, &error))
}

/// The one written form of a value.
pub(crate) fn canonical(value: &Value) -> Vec<u8> {
    // The alternate form of a `Value` is its pretty form, and writing it to memory cannot fail.
    format!("{:#}\n", sorted(value)).into_bytes()
}

/// The place, as a byte offset, and the reason at which `serde_json` stopped.
pub(crate) fn problem_of(bytes: &[u8], error: &serde_json::Error) -> JsonError {
    let lines_before = error.line().saturating_sub(1);
    let line_start: usize = bytes.split_inclusive(|&byte| byte == b'\n').take(lines_before).map(<[u8]>::len).sum();
    let text = error.to_string();
    // The library ends its messages with the line and column, which the offset replaces.
    let problem = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    let offset = (line_start + error.column().saturating_sub(1)).min(bytes.len());
    JsonError { offset, problem: escape_to(problem, 300) }
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        // Through a BTreeMap: another crate may switch serde_json to insertion order.
        Value::Object(map) => {
            let ordered: BTreeMap<_, _> = map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            Value::Object(ordered.into_iter().collect())
        }
        plain => plain.clone(),
    }
}

struct StrictValue;

impl<'de> DeserializeSeed<'de> for StrictValue {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key `{}` stands twice", escape_to(&key, 100))));
            }
            let value = access.next_value_seed(Self)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let JsonError { offset, problem } = parse(text.as_bytes()).unwrap_err();
        format!("{offset}: {problem}")
    }

    #[test]
    fn a_key_twice_is_refused_at_any_depth() {
        assert_eq!(refused(r#"{"a": 1, "a": 1}"#), "11: the key `a` stands twice");
        assert_eq!(refused("{\"a\":\n [{\"b\": 1, \"b\": 2}]}"), "19: the key `b` stands twice");
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        assert_eq!(refused(""), "0: EOF while parsing a value");
        assert_eq!(refused("{} x"), "3: trailing characters");
        assert_eq!(refused("[1,\n 2,]"), "7: trailing comma");
        assert_eq!(refused("[1e999]"), "5: number out of range");
        assert!(refused(&"[".repeat(200)).ends_with("recursion limit exceeded"));
    }

    #[test]
    fn equal_values_have_equal_bytes() {
        let one = parse(br#"{"b": [1.5, {"z": null, "y": -3}], "a": "x"}"#).unwrap();
        let two = parse(br#"{"a": "x", "b": [1.5, {"y": -3, "z": null}]}"#).unwrap();
        assert_eq!(canonical(&one), canonical(&two));
        assert_eq!(parse(&canonical(&one)).unwrap(), one);
    }
}
