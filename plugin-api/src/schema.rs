//! Numbers against the bounds of their JSON Schema: the one reading that the host and every plugin share.
//!
//! Read are `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum` and `multipleOf`, wherever `schemars` puts them: in fields,
//! in elements of lists, behind references, and in the alternatives of enums. What is no number is left to `serde`.

use crate::error::PluginError;
use serde_json::Value;

/// The bounds that a schema sets to a number; written out they are the words of a refusal.
///
/// ```
/// let schema = serde_json::json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1 });
/// let share = scaleot_plugin_api::schema::NumberBounds::of(&schema);
/// assert!(share.hold(1.0) && !share.hold(0.0));
/// assert_eq!(share.to_string(), "a number above 0 and at most 1");
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct NumberBounds<'a> {
    schema: &'a Value,
}

impl<'a> NumberBounds<'a> {
    /// Those of a schema of the type `number` or `integer`.
    #[must_use]
    pub const fn of(schema: &'a Value) -> Self {
        Self { schema }
    }

    /// True for a number that keeps to them; one that is not finite, or not in the type of the option, never does.
    #[must_use]
    pub fn hold(self, number: f64) -> bool {
        let bound = |key: &str| self.schema.get(key).and_then(Value::as_f64);
        let single = self.schema.get("format").and_then(Value::as_str) == Some("float");
        number.is_finite()
            && (!single || (number as f32).is_finite())
            && bound("minimum").is_none_or(|least| number >= least)
            && bound("maximum").is_none_or(|most| number <= most)
            && bound("exclusiveMinimum").is_none_or(|below| number > below)
            && bound("exclusiveMaximum").is_none_or(|above| number < above)
            && bound("multipleOf").is_none_or(|step| step > 0.0 && (number / step).fract() == 0.0)
    }
}

impl std::fmt::Display for NumberBounds<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bound = |key: &str| self.schema.get(key).filter(|bound| bound.is_number());
        let whole = types(self.schema).any(|name| name == "integer");
        let noun = if whole { "whole number" } else { "number" };
        match bound("multipleOf") {
            Some(step) if step.as_u64() == Some(2) => write!(f, "an even {noun}")?,
            Some(step) => write!(f, "a {noun} divisible by {step}")?,
            None => write!(f, "a {noun}")?,
        }
        match (bound("minimum"), bound("maximum"), bound("exclusiveMinimum"), bound("exclusiveMaximum")) {
            (Some(least), Some(most), _, _) => write!(f, " from {least} to {most}"),
            (Some(least), None, _, Some(above)) => write!(f, " from {least} to below {above}"),
            (None, Some(most), Some(below), _) => write!(f, " above {below} and at most {most}"),
            (None, None, Some(below), Some(above)) => write!(f, " between {below} and {above}, both excluded"),
            (Some(least), None, _, None) => write!(f, " of at least {least}"),
            (None, Some(most), None, _) => write!(f, " of at most {most}"),
            (None, None, Some(below), None) => write!(f, " above {below}"),
            (None, None, None, Some(above)) => write!(f, " below {above}"),
            (None, None, None, None) => Ok(()),
        }
    }
}

/// The schema that a `#/…` reference inside `root` leads to; one that leads nowhere or in a circle takes no value.
#[must_use]
pub fn referenced<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..16 {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
            return schema;
        };
        let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        schema = target.unwrap_or(&Value::Bool(false));
    }
    &Value::Bool(false)
}

/// Every number of these options within the bounds of its schema.
///
/// # Errors
/// `Options`, naming the option, what was found and what was expected.
pub fn check_numbers(schema: &Value, options: &Value) -> Result<(), PluginError> {
    Walk { root: schema }.value(schema, options, "")
}

struct Walk<'a> {
    root: &'a Value,
}

impl<'a> Walk<'a> {
    fn value(&self, schema: &'a Value, value: &Value, at: &str) -> Result<(), PluginError> {
        let schema = referenced(self.root, schema);
        listed(schema, "allOf").try_for_each(|part| self.value(part, value, at))?;
        self.alternatives(schema, value, at)?;
        match value {
            Value::Number(number) => {
                let bounds = NumberBounds::of(schema);
                let holds = number.as_f64().is_some_and(|number| bounds.hold(number));
                let refused = || PluginError::options(format!("{at} is {number}, expected {bounds}"));
                if holds { Ok(()) } else { Err(refused()) }
            }
            Value::Object(fields) => fields.iter().try_for_each(|(key, inner)| {
                let known = schema.get("properties").and_then(|properties| properties.get(key));
                let Some(own) = known.or_else(|| schema.get("additionalProperties")) else { return Ok(()) };
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                self.value(own, inner, &at)
            }),
            Value::Array(items) => items.iter().enumerate().try_for_each(|(index, item)| {
                let own = listed(schema, "prefixItems").nth(index).or_else(|| schema.get("items"));
                own.map_or(Ok(()), |own| self.value(own, item, &format!("{at}[{index}]")))
            }),
            _ => Ok(()),
        }
    }

    /// Of the alternatives that are meant for such a value, one must take it; the first says why it does not.
    fn alternatives(&self, schema: &'a Value, value: &Value, at: &str) -> Result<(), PluginError> {
        let all = listed(schema, "anyOf").chain(listed(schema, "oneOf")).map(|one| referenced(self.root, one));
        let mut meant = all.filter(|one| is_meant(one, value)).map(|one| self.value(one, value, at));
        match meant.next() {
            Some(Err(refusal)) if !meant.any(|other| other.is_ok()) => Err(refusal),
            _ => Ok(()),
        }
    }
}

/// True for a value of the alternative's type that has its tag or its key where the alternative is a variant of an enum.
fn is_meant(schema: &Value, value: &Value) -> bool {
    let is_a = |name: &str| match value {
        Value::Null => name == "null",
        Value::Bool(_) => name == "boolean",
        Value::Number(_) => name == "number" || name == "integer",
        Value::String(_) => name == "string",
        Value::Array(_) => name == "array",
        Value::Object(_) => name == "object",
    };
    let same = |schema: &Value, value: &Value| schema.get("const").is_none_or(|only| only == value);
    let mut properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let mut required = listed(schema, "required").filter_map(Value::as_str);
    (schema.get("type").is_none() || types(schema).any(is_a))
        && same(schema, value)
        && required.all(|key| value.get(key).is_some())
        && properties.all(|(key, own)| value.get(key).is_none_or(|inner| same(own, inner)))
}

fn listed<'a>(schema: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    schema.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// The names of its types: one, or several where null is one of them.
fn types(schema: &Value) -> impl Iterator<Item = &str> {
    let one = schema.get("type").and_then(Value::as_str);
    one.into_iter().chain(listed(schema, "type").filter_map(Value::as_str))
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
