//! The strategies that a config names, against those that the plugins offer.
//!
//! The plugin registry is not known here: it passes in what it found, and gets the config's own messages.

use std::borrow::Cow;

use scaleot_plugin_api::{Need, Requirement, StrategyRecord};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value as Json;
use toml::Table;

use super::check::{check_options, nearest};
use super::choices::{StrategyKind, StrategyName};
use super::error::ConfigError;
use super::expect::hint;
use super::option_values::{option_value, table_json};
use super::place::KeyPath;
use super::sections::RunConfig;
use scaleot_store::escape::escape_to;

/// A strategy that some plugin offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownStrategy {
    pub kind: StrategyKind,
    /// `<plugin>/<strategy>`.
    pub name: String,
}

impl RunConfig {
    /// The strategy of a kind and its options; `None` where the config leaves the section out.
    pub fn strategy(&self, kind: StrategyKind) -> Option<(&StrategyName, &Table)> {
        match kind {
            StrategyKind::Importance => Some((&self.importance.strategy, &self.importance.options)),
            StrategyKind::Replace => Some((&self.replace.strategy, &self.replace.options)),
            StrategyKind::Compress => self.compress.as_ref().map(|section| (&section.strategy, &section.options)),
            StrategyKind::Adapter => Some((&self.adapter.strategy, &self.adapter.options)),
        }
    }

    /// Refuses a strategy that no plugin offers, or that is of another kind than its section.
    ///
    /// # Errors
    /// The key, and the names that are valid there.
    pub fn check_strategy(&self, kind: StrategyKind, known: &[KnownStrategy]) -> Result<(), ConfigError> {
        let Some((name, _)) = self.strategy(kind) else { return Ok(()) };
        let name = name.to_string();
        let mut namesakes = known.iter().filter(|known| known.name == name).peekable();
        let other = namesakes.peek().map(|other| other.kind);
        if namesakes.any(|known| known.kind == kind) {
            return Ok(());
        }
        let key = KeyPath::of(kind.as_str()).key("use");
        let place = self.places().of(&key);
        let names = known.iter().filter(|known| known.kind == kind).map(|known| escape_to(&known.name, 130));
        let known: Vec<String> = names.collect();
        Err(match other {
            Some(other) => ConfigError::WrongKind {
                place,
                key,
                found: name,
                kind: other,
                expected: kind,
                hint: hint(None, &known),
            },
            None => {
                let hint = hint(nearest(&name, known.iter().map(String::as_str)), &known);
                ConfigError::UnknownStrategy { place, key, found: name, hint }
            }
        })
    }

    /// Checks the options of a kind against the strategy's own JSON Schema.
    ///
    /// # Errors
    /// The option, as any other key, and the strategy.
    pub fn check_strategy_options(&self, kind: StrategyKind, schema: &Json) -> Result<(), ConfigError> {
        let Some((name, options)) = self.strategy(kind) else { return Ok(()) };
        let at = KeyPath::of(kind.as_str()).key("options");
        check_options(schema, options, &at, self.places())
            .map_err(|problem| ConfigError::Option { strategy: name.to_string(), problem: Box::new(problem) })
    }

    /// Refuses a strategy that needs what this config does not have.
    ///
    /// # Errors
    /// The key that would meet the need.
    pub fn check_requirements(&self, kind: StrategyKind, record: &StrategyRecord) -> Result<(), ConfigError> {
        let Some((name, options)) = self.strategy(kind) else { return Ok(()) };
        let value_of = |option: &str| option_value(options, record, option);
        let lacks = |requirement: &&Requirement| match requirement.need {
            Need::PublicText => self.public_data.text.is_empty(),
            Need::Training => self.train.is_none(),
            _ => true,
        };
        let Some(lacking) = record.requires.iter().filter(|one| one.applies(value_of)).find(lacks) else {
            return Ok(());
        };
        let used = format!("{kind}.use = \"{name}\"");
        let (key, found, expected) = match &lacking.need {
            Need::PublicText => {
                let because = escape_to(&lacking.to_string(), 200);
                let expected = format!("one or more UTF-8 files, because {used} needs {because}");
                (KeyPath::of("public_data").key("text"), "no file".to_owned(), expected)
            }
            Need::Training => {
                let because = escape_to(&lacking.to_string(), 200);
                let expected = format!("at least 1 step, because {used} needs {because}");
                (KeyPath::of("train").key("steps"), "no [train]".to_owned(), expected)
            }
            other => {
                let other = escape_to(other.as_str(), 60);
                let expected = format!("a strategy without a need that is unknown here: it needs {other:?}");
                (KeyPath::of(kind.as_str()).key("use"), name.to_string(), expected)
            }
        };
        Err(ConfigError::Value { place: self.places().of(&key), key, found, expected })
    }

    /// True where a strategy says that it reads public text.
    pub fn reads_public_text(&self, record: &StrategyRecord) -> bool {
        let options = self.strategy(record.kind).map(|(_, options)| options);
        let value_of = |option: &str| options.and_then(|options| option_value(options, record, option));
        let needs = |one: &Requirement| one.need == Need::PublicText && one.applies(value_of);
        record.requires.iter().any(needs)
    }

    /// The options of a kind as the JSON that crosses the plugin boundary.
    pub fn options_json(&self, kind: StrategyKind) -> Json {
        self.strategy(kind).map_or(Json::Null, |(_, options)| table_json(options))
    }
}

/// The schema of a pin.
pub struct PinSchema;

impl JsonSchema for PinSchema {
    fn schema_name() -> Cow<'static, str> {
        "Pin".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "scaleot-sha256", "pattern": "^[0-9a-f]{64}$" })
    }
}
