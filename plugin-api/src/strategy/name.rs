//! Names of plugins and strategies, and the rule for both.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// The most letters of a plugin's or a strategy's name.
const LONGEST: usize = 60;

/// The rule for the name of a plugin or of a strategy, as messages say it.
pub const PLUGIN_NAME_RULE: &str =
    "lower-case letters, digits and dashes, beginning with a letter, ending with a letter or digit, at most 60";

/// True for a name that a plugin or a strategy may have: [`PLUGIN_NAME_RULE`].
///
/// ```
/// assert!(scaleot_plugin_api::is_plugin_name("edge-llm"));
/// assert!(!scaleot_plugin_api::is_plugin_name("edge_llm"));
/// ```
#[must_use]
pub fn is_plugin_name(name: &str) -> bool {
    is_part(name) && name.starts_with(|first: char| first.is_ascii_lowercase()) && !name.ends_with('-')
}

/// True for either half of what a config may ask for.
fn is_part(part: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LONGEST).contains(&part.len()) && part.bytes().all(known)
}

/// The name of a strategy, `<plugin>/<strategy>`.
///
/// ```
/// use scaleot_plugin_api::StrategyName;
/// let name: StrategyName = "offsite-tuning/layer-drop".parse()?;
/// assert_eq!((name.plugin(), name.strategy()), ("offsite-tuning", "layer-drop"));
/// assert!("layer-drop".parse::<StrategyName>().is_err());
/// # Ok::<(), scaleot_plugin_api::NotAStrategyName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StrategyName {
    plugin: String,
    strategy: String,
}

/// A text that is no [`StrategyName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {}", StrategyName::EXPECTED)]
#[non_exhaustive]
pub struct NotAStrategyName {
    /// The text.
    pub found: String,
}

impl StrategyName {
    /// The form of such a name, as messages say it.
    pub const EXPECTED: &'static str =
        "\"<plugin>/<strategy>\" in small letters, digits and `-`, such as \"offsite-tuning/layer-drop\"";

    /// The plugin's name.
    #[must_use]
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// The strategy's name within the plugin.
    #[must_use]
    pub fn strategy(&self) -> &str {
        &self.strategy
    }
}

impl FromStr for StrategyName {
    type Err = NotAStrategyName;

    fn from_str(text: &str) -> Result<Self, NotAStrategyName> {
        match text.split_once('/') {
            Some((plugin, strategy)) if is_part(plugin) && is_part(strategy) => {
                Ok(Self { plugin: plugin.to_owned(), strategy: strategy.to_owned() })
            }
            _ => Err(NotAStrategyName { found: text.to_owned() }),
        }
    }
}

impl fmt::Display for StrategyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.plugin, self.strategy)
    }
}

impl TryFrom<String> for StrategyName {
    type Error = NotAStrategyName;

    fn try_from(text: String) -> Result<Self, NotAStrategyName> {
        text.parse()
    }
}

impl From<StrategyName> for String {
    fn from(name: StrategyName) -> Self {
        name.to_string()
    }
}

impl JsonSchema for StrategyName {
    fn schema_name() -> Cow<'static, str> {
        "StrategyName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "scaleot-strategy", "pattern": "^[a-z0-9-]{1,60}/[a-z0-9-]{1,60}$" })
    }
}
