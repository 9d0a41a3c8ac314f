//! The options of a strategy in words: one row an option, from its JSON Schema.

use scaleot_plugin_api::schema::referenced;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One option.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptionRow {
    pub name: String,
    /// Type, choices or range.
    pub takes: String,
    /// As JSON; `-` where there is none.
    pub default: String,
    pub meaning: String,
}

/// The options of a schema, in its order.
pub fn option_rows(schema: &Value) -> Vec<OptionRow> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let rows = properties.into_iter().flatten().map(|(name, option)| OptionRow {
        name: name.clone(),
        takes: takes(option, schema),
        default: option.get("default").map_or_else(|| "-".to_owned(), Value::to_string),
        // A doc comment's lines are one paragraph.
        meaning: option.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " "),
    });
    rows.collect()
}

/// The values that a property takes, in a few words: type, choices, range.
fn takes(schema: &Value, root: &Value) -> String {
    let schema = referenced(root, schema);
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        return choices.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
    }
    if let Some(choices) = ["oneOf", "anyOf"].iter().find_map(|key| schema.get(key)?.as_array()) {
        return choices.iter().map(|choice| takes(choice, root)).collect::<Vec<_>>().join(", ");
    }
    if let Some(only) = schema.get("const") {
        return only.to_string();
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        kind => kind.and_then(Value::as_str).unwrap_or("any").to_owned(),
    };
    let bound = |key: &str, sign: &str| schema.get(key).map(|bound| format!("{sign} {bound}"));
    let bounds =
        [bound("minimum", "≥"), bound("exclusiveMinimum", ">"), bound("maximum", "≤"), bound("exclusiveMaximum", "<")];
    [Some(kind)].into_iter().chain(bounds).flatten().collect::<Vec<_>>().join(" ")
}
