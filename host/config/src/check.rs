//! A TOML table against a JSON Schema, with messages for people.
//!
//! One walk serves the run config and every plugin's options, so both fail alike: place, key, found, expected.
//! Read are the parts of JSON Schema that `schemars` writes for plain option structs; an object with `properties`
//! is closed unless it says otherwise.

use scaleot_plugin_api::schema::{NumberBounds, referenced};
use scaleot_tensor::Device;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::choices::StrategyName;
use super::error::ConfigError;
use super::expect::{alternatives, choices_of, describe, found, hint};
use super::place::{KeyPath, Places};
use scaleot_store::escape::escape_to;

/// Checks `options` against a plugin's `schema`; `at` is the table's own key, such as `replace.options`.
///
/// # Errors
/// The first key that the schema does not take, or that it lacks.
pub fn check_options(schema: &Json, options: &Table, at: &KeyPath, places: &Places) -> Result<(), ConfigError> {
    Checker { root: schema, places }.table(schema, options, at)
}

/// A schema with the document that its references point into.
struct Checker<'a> {
    root: &'a Json,
    places: &'a Places,
}

impl<'a> Checker<'a> {
    fn value(&self, schema: &'a Json, value: &Value, at: &KeyPath) -> Result<(), ConfigError> {
        let schema = self.resolve(schema);
        if let Some(choices) = choices_of(schema) {
            let chosen = value.as_str().is_some_and(|text| choices.contains(&text));
            return if chosen { Ok(()) } else { Err(self.choice_refused(schema, &choices, value, at)) };
        }
        let alternatives: Vec<_> = alternatives(schema).into_iter().map(|one| self.resolve(one)).collect();
        if let Some((first, others)) = alternatives.split_first() {
            let result = self.value(first, value, at);
            let taken = result.is_ok() || others.iter().any(|other| self.value(other, value, at).is_ok());
            // One alternative gives its own message; of several none is more right than the others.
            return if taken || others.is_empty() {
                if taken { Ok(()) } else { result }
            } else {
                Err(self.refused(schema, value, at))
            };
        }
        for part in schema.get("allOf").and_then(Json::as_array).into_iter().flatten() {
            self.value(part, value, at)?;
        }
        match value {
            Value::Table(table) if has_type(schema, "object") => self.table(schema, table, at),
            Value::Array(items) if has_type(schema, "array") => self.list(schema, items, at),
            Value::String(text) if has_type(schema, "string") => {
                self.require(fits_text(schema, text), schema, value, at)
            }
            Value::Integer(number) if has_type(schema, "integer") => {
                self.whole_fits(schema, *number, at)?;
                self.require(NumberBounds::of(schema).hold(*number as f64), schema, value, at)
            }
            Value::Integer(number) if has_type(schema, "number") => {
                self.require(NumberBounds::of(schema).hold(*number as f64), schema, value, at)
            }
            Value::Float(number) if !number.is_finite() => Err(self.expected(value, "a finite number".to_owned(), at)),
            Value::Float(number) if has_type(schema, "number") => {
                self.require(NumberBounds::of(schema).hold(*number), schema, value, at)
            }
            Value::Boolean(_) if has_type(schema, "boolean") => Ok(()),
            _ => Err(self.refused(schema, value, at)),
        }
    }

    fn table(&self, schema: &'a Json, table: &Table, at: &KeyPath) -> Result<(), ConfigError> {
        let schema = self.resolve(schema);
        let properties = schema.get("properties").and_then(Json::as_object);
        let others = schema.get("additionalProperties");
        for (key, value) in table {
            let at = at.key(key);
            match (properties.and_then(|known| known.get(key)), others) {
                (Some(inner), _) => self.value(inner, value, &at)?,
                (None, Some(inner @ Json::Object(_))) => self.value(inner, value, &at)?,
                (None, Some(Json::Bool(true))) => {}
                (None, None) if properties.is_none() && has_type(schema, "object") => {}
                _ => return Err(self.unknown(properties, key, at)),
            }
        }
        for key in schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
            if !table.contains_key(key) {
                return Err(self.missing(properties.and_then(|known| known.get(key)), at.key(key)));
            }
        }
        Ok(())
    }

    fn list(&self, schema: &'a Json, items: &[Value], at: &KeyPath) -> Result<(), ConfigError> {
        let count = items.len() as f64;
        let bound = |key: &str| schema.get(key).and_then(Json::as_f64);
        let fits =
            bound("minItems").is_none_or(|least| count >= least) && bound("maxItems").is_none_or(|most| count <= most);
        if !fits {
            let found = format!("a list of {}", items.len());
            return Err(self.value_error(found, describe(schema), at));
        }
        let inner = schema.get("items").unwrap_or(&Json::Bool(true));
        let unique = schema.get("uniqueItems").and_then(Json::as_bool) == Some(true);
        for (index, item) in items.iter().enumerate() {
            self.value(inner, item, &at.index(index))?;
            if unique && items.iter().take(index).any(|before| before == item) {
                return Err(self.expected(item, "each item once".to_owned(), &at.index(index)));
            }
        }
        Ok(())
    }

    fn resolve(&self, schema: &'a Json) -> &'a Json {
        referenced(self.root, schema)
    }

    /// Rust's integer types have bounds that schemars writes as a format only.
    fn whole_fits(&self, schema: &Json, number: i64, at: &KeyPath) -> Result<(), ConfigError> {
        let most = match schema.get("format").and_then(Json::as_str) {
            Some("uint8") => u8::MAX.into(),
            Some("uint16") => u16::MAX.into(),
            Some("uint32") => u32::MAX.into(),
            Some("int32") => i32::MAX.into(),
            _ => i64::MAX,
        };
        if number <= most {
            return Ok(());
        }
        Err(self.value_error(number.to_string(), format!("a whole number of at most {most}"), at))
    }

    fn require(&self, fits: bool, schema: &Json, value: &Value, at: &KeyPath) -> Result<(), ConfigError> {
        if fits { Ok(()) } else { Err(self.refused(schema, value, at)) }
    }

    fn refused(&self, schema: &Json, value: &Value, at: &KeyPath) -> ConfigError {
        self.expected(value, describe(schema), at)
    }

    fn choice_refused(&self, schema: &Json, choices: &[&str], value: &Value, at: &KeyPath) -> ConfigError {
        let near = value.as_str().and_then(|text| nearest(text, choices.iter().copied()));
        let hint = near.map(|near| format!("; the nearest is \"{near}\"")).unwrap_or_default();
        self.expected(value, describe(schema) + &hint, at)
    }

    fn expected(&self, value: &Value, expected: String, at: &KeyPath) -> ConfigError {
        self.value_error(found(value), expected, at)
    }

    fn value_error(&self, found: String, expected: String, at: &KeyPath) -> ConfigError {
        ConfigError::Value { place: self.places.of(at), key: at.clone(), found, expected }
    }

    fn unknown(&self, properties: Option<&'a serde_json::Map<String, Json>>, key: &str, at: KeyPath) -> ConfigError {
        let deeper = |(section, schema): (&String, &'a Json)| {
            self.resolve(schema).get("properties")?.get(key).map(|_| format!("`{section}.{key}`"))
        };
        let deeper: Vec<String> = properties.into_iter().flatten().filter_map(deeper).collect();
        if !deeper.is_empty() {
            let hint = format!("; it stands in a section: {}", deeper.join(", "));
            return ConfigError::UnknownKey { place: self.places.of(&at), key: at, hint };
        }
        let known: Vec<String> = properties.into_iter().flat_map(|known| known.keys().cloned()).collect();
        let nearest = nearest(key, known.iter().map(String::as_str)).map(str::to_owned);
        ConfigError::UnknownKey { place: self.places.of(&at), key: at, hint: hint(nearest.as_deref(), &known) }
    }

    fn missing(&self, schema: Option<&'a Json>, key: KeyPath) -> ConfigError {
        let expected = schema.map(|schema| {
            let what = describe(self.resolve(schema));
            match schema.get("description").and_then(Json::as_str) {
                Some(meaning) => format!("{what}: {}", escape_to(meaning, 120)),
                None => what,
            }
        });
        let expected = expected.unwrap_or_else(|| "a value".to_owned());
        ConfigError::MissingKey { place: self.places.of(&key), key, expected }
    }
}

/// The name of `known` that is most like `name`, if any is like it.
pub(super) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // The comparison takes time by length squared, and nobody means a key of 10,000 letters.
    let name: String = name.chars().take(80).collect();
    let scored = known.map(|other| (strsim::jaro_winkler(&name, other), other));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(score, _)| *score >= 0.8).map(|(_, other)| other)
}

fn has_type(schema: &Json, name: &str) -> bool {
    match schema.get("type") {
        Some(Json::String(only)) => only == name,
        Some(Json::Array(several)) => several.iter().any(|one| one.as_str() == Some(name)),
        Some(_) => false,
        None => *schema != Json::Bool(false),
    }
}

fn fits_text(schema: &Json, text: &str) -> bool {
    let bound = |key: &str| schema.get(key).and_then(Json::as_u64);
    let length = text.chars().count() as u64;
    let fits =
        bound("minLength").is_none_or(|least| length >= least) && bound("maxLength").is_none_or(|most| length <= most);
    fits && match schema.get("format").and_then(Json::as_str) {
        Some("scaleot-device") => text.parse::<Device>().is_ok(),
        Some("scaleot-strategy") => text.parse::<StrategyName>().is_ok(),
        Some("scaleot-sha256") => text.parse::<scaleot_store::Digest>().is_ok(),
        _ => true,
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
