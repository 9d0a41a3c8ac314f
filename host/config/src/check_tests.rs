//! The schema walk on what plugins may send: references, alternatives, nested tables, open and closed objects.

use super::*;
use serde_json::json;
use std::path::Path;

fn check(schema: &Json, options: &str) -> Result<(), String> {
    let options: Table = toml::from_str(options).unwrap();
    let places = Places::new(Path::new("c.toml"));
    check_options(schema, &options, &KeyPath::of("replace.options"), &places).map_err(|error| error.to_string())
}

#[derive(schemars::JsonSchema)]
#[allow(dead_code)]
struct Options {
    /// The width.
    #[schemars(range(min = 1, max = 4096))]
    width: u32,
    norm: Option<Norm>,
    inner: Option<Inner>,
    rates: Vec<f64>,
}

#[derive(schemars::JsonSchema)]
#[allow(dead_code)]
#[serde(rename_all = "snake_case")]
enum Norm {
    /// Root mean square.
    Rms,
    Layer,
}

#[derive(schemars::JsonSchema)]
#[allow(dead_code)]
struct Inner {
    on: bool,
}

#[test]
fn a_derived_schema_with_references_is_walked() {
    let schema = schemars::schema_for!(Options).to_value();
    assert_eq!(check(&schema, "width = 8\nnorm = \"rms\"\ninner = { on = true }\nrates = [1, 0.5]"), Ok(()));
    assert_eq!(check(&schema, "width = 8\nrates = []"), Ok(()));
    let message = |options: &str| check(&schema, options).unwrap_err();
    assert_eq!(
        message("rates = []"),
        "c.toml: key `replace.options.width`: missing, expected a whole number from 1 to 4096: The width."
    );
    assert_eq!(
        message("width = 0\nrates = []"),
        "c.toml: key `replace.options.width`: found 0, expected a whole number from 1 to 4096"
    );
    assert_eq!(
        message("width = 8\nrates = []\nnorm = \"rm\""),
        "c.toml: key `replace.options.norm`: found the string \"rm\", expected one of \"layer\", \"rms\"; the nearest is \"rms\""
    );
    assert_eq!(
        message("width = 8\nrates = []\ninner = { onn = true }"),
        "c.toml: key `replace.options.inner.onn`: unknown; the nearest valid name is `on`"
    );
    assert_eq!(
        message("width = 8\nrates = [\"x\"]"),
        "c.toml: key `replace.options.rates[0]`: found the string \"x\", expected a number"
    );
}

#[test]
fn objects_are_closed_unless_they_say_otherwise() {
    let closed = json!({ "type": "object" });
    assert_eq!(
        check(&json!({ "type": "object", "properties": {} }), "a = 1").unwrap_err(),
        "c.toml: key `replace.options.a`: unknown; nothing is valid here"
    );
    assert_eq!(check(&closed, "a = 1"), Ok(()));
    assert_eq!(check(&json!({ "type": "object", "properties": {}, "additionalProperties": true }), "a = 1"), Ok(()));
    let typed = json!({ "type": "object", "additionalProperties": { "type": "boolean" } });
    assert_eq!(check(&typed, "a = 1").unwrap_err(), "c.toml: key `replace.options.a`: found 1, expected true or false");
}

#[test]
fn alternatives_and_limits() {
    let of = |inner: Json| json!({ "type": "object", "properties": { "a": inner } });
    let either = of(json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, { "type": "string", "minLength": 1 }] }));
    assert_eq!(check(&either, "a = 1"), Ok(()));
    assert_eq!(check(&either, "a = \"x\""), Ok(()));
    assert_eq!(
        check(&either, "a = 0").unwrap_err(),
        "c.toml: key `replace.options.a`: found 0, expected a whole number of at least 1 or a string that is not empty"
    );
    for (schema, expected) in [
        (
            json!({ "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1 }),
            "a number between 0 and 1, both excluded",
        ),
        (json!({ "type": "number", "maximum": 1 }), "a number of at most 1"),
        (json!({ "type": "number", "exclusiveMaximum": 1 }), "a number below 1"),
        (json!({ "type": "integer", "multipleOf": 8 }), "a whole number divisible by 8"),
        (json!({ "type": "array", "minItems": 1, "maxItems": 3 }), "a list of 1 to 3"),
    ] {
        let message = check(&of(schema), "a = 3.5").unwrap_err();
        assert_eq!(message, format!("c.toml: key `replace.options.a`: found 3.5, expected {expected}"));
    }
}

#[test]
fn a_hostile_schema_is_survived() {
    let circle = json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/a" } } });
    assert!(check(&circle, "a = 1").is_err());
    let nowhere = json!({ "type": "object", "properties": { "a": { "$ref": "#/absent" } } });
    assert!(check(&nowhere, "a = 1").is_err());
    let nested = json!({ "type": "object", "properties": { "a": { "$ref": "#" } } });
    assert_eq!(check(&nested, "a = { a = { a = {} } }"), Ok(()));
}
