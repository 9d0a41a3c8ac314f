//! The words of a refusal: what a schema asks for, and what was found instead.

use scaleot_plugin_api::schema::NumberBounds;
use serde_json::Value as Json;
use toml::Value;

use super::choices::{DeviceText, StrategyName};
use scaleot_store::escape::escape_to;

/// A value in words, with its text where that is short.
pub(super) fn found(value: &Value) -> String {
    match value {
        Value::String(text) => format!("the string \"{}\"", escape_to(text, 60)),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Boolean(flag) => flag.to_string(),
        Value::Datetime(_) => "a date".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}

/// The expectation of a schema in words, such as `a whole number of at least 1`.
pub(super) fn describe(schema: &Json) -> String {
    if let Some(choices) = choices_of(schema) {
        let quoted: Vec<_> = choices.iter().map(|choice| format!("\"{choice}\"")).collect();
        return format!("one of {}", quoted.join(", "));
    }
    let parts = alternatives(schema);
    if !parts.is_empty() {
        return parts.into_iter().map(describe).collect::<Vec<_>>().join(" or ");
    }
    match kind(schema) {
        "integer" | "number" => NumberBounds::of(schema).to_string(),
        "boolean" => "true or false".to_owned(),
        "array" => list(schema),
        "object" => "a table".to_owned(),
        "string" => text(schema),
        _ => "another value".to_owned(),
    }
}

/// The words that a key may take, where the schema lists them in one of its three ways.
pub(super) fn choices_of(schema: &Json) -> Option<Vec<&str>> {
    if let Some(listed) = schema.get("enum").and_then(Json::as_array) {
        let words: Vec<_> = listed.iter().filter_map(Json::as_str).collect();
        return (!words.is_empty()).then_some(words);
    }
    if let Some(only) = schema.get("const").and_then(Json::as_str) {
        return Some(vec![only]);
    }
    let words: Option<Vec<_>> = alternatives(schema).into_iter().map(choices_of).collect();
    words.map(|words| words.concat()).filter(|words| !words.is_empty())
}

/// The schemas of `anyOf` or `oneOf` without the null that an optional field adds.
pub(super) fn alternatives(schema: &Json) -> Vec<&Json> {
    let either = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Json::as_array);
    either.into_iter().flatten().filter(|one| kind(one) != "null").collect()
}

/// The one type that is not null; empty where there is none.
fn kind(schema: &Json) -> &str {
    match schema.get("type") {
        Some(Json::String(only)) => only,
        Some(Json::Array(several)) => {
            several.iter().filter_map(Json::as_str).find(|one| *one != "null").unwrap_or("null")
        }
        _ => "",
    }
}

fn list(schema: &Json) -> String {
    let bound = |key: &str| schema.get(key).and_then(Json::as_u64);
    let count = match (bound("minItems"), bound("maxItems")) {
        (Some(least), Some(most)) if least == most => format!(" of {least}"),
        (Some(least), Some(most)) => format!(" of {least} to {most}"),
        (Some(least), None) => format!(" of at least {least}"),
        (None, Some(most)) => format!(" of at most {most}"),
        (None, None) => String::new(),
    };
    format!("a list{count}")
}

fn text(schema: &Json) -> String {
    match schema.get("format").and_then(Json::as_str) {
        Some("scaleot-device") => DeviceText::EXPECTED.to_owned(),
        Some("scaleot-strategy") => StrategyName::EXPECTED.to_owned(),
        Some("scaleot-sha256") => "64 lower-case hexadecimal digits".to_owned(),
        _ if schema.get("minLength").and_then(Json::as_u64).is_some_and(|least| least > 0) => {
            "a string that is not empty".to_owned()
        }
        _ => "a string".to_owned(),
    }
}

/// Advice on a name to write instead of an unknown one.
pub(super) fn hint(nearest: Option<&str>, known: &[String]) -> String {
    match nearest {
        Some(nearest) => format!("; the nearest valid name is `{nearest}`"),
        None if known.is_empty() => "; nothing is valid here".to_owned(),
        None => format!("; valid are {}", known.join(", ")),
    }
}
