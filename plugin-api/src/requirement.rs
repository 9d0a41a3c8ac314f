//! Needs of a strategy, declared in its record, so that a run which lacks it is refused before work starts.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something that a run may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub enum Need {
    /// Public text of the model owner (`public_data.text`): for losses, training steps, fits and moments.
    PublicText,
    /// The owner's training of the chosen emulator (`[train]`): without it the strategy is another one.
    Training,
    /// A need that this version of the contract does not know; the host refuses the strategy.
    Other(String),
}

impl Need {
    /// The word in records.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::PublicText => "public_text",
            Self::Training => "training",
            Self::Other(other) => other,
        }
    }
}

impl From<String> for Need {
    fn from(word: String) -> Self {
        match word.as_str() {
            "public_text" => Self::PublicText,
            "training" => Self::Training,
            _ => Self::Other(word),
        }
    }
}

impl From<Need> for String {
    fn from(need: Need) -> Self {
        need.as_str().into()
    }
}

/// A need, always or unless an option has a certain value.
///
/// ```
/// use scaleot_plugin_api::{Need, Requirement};
/// let fit = Requirement::unless(Need::PublicText, "fit_passes", 0);
/// let options = |passes| serde_json::json!({ "fit_passes": passes });
/// assert!(fit.applies(|option| options(3).get(option).cloned()));
/// assert!(!fit.applies(|option| options(0).get(option).cloned()));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Requirement {
    /// The need.
    pub need: Need,
    /// The exception: no need where the option has this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<OptionValue>,
}

/// An option with a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OptionValue {
    /// Its name.
    pub option: String,
    /// Its value.
    pub is: Value,
}

impl OptionValue {
    /// True where the option has the value, by what is known of options.
    pub(crate) fn holds(&self, value_of: impl FnOnce(&str) -> Option<Value>) -> bool {
        match (value_of(&self.option), &self.is) {
            // 0 and 0.0 are one number.
            (Some(Value::Number(found)), Value::Number(is)) => found.as_f64() == is.as_f64(),
            (found, is) => found.as_ref() == Some(is),
        }
    }
}

impl Requirement {
    /// Needed whatever the options say.
    #[must_use]
    pub fn always(need: Need) -> Self {
        Self { need, unless: None }
    }

    /// Needed unless this option has this value.
    pub fn unless(need: Need, option: impl Into<String>, is: impl Into<Value>) -> Self {
        Self { need, unless: Some(OptionValue { option: option.into(), is: is.into() }) }
    }

    /// True where it is needed with options of these values (`None` where nothing is known of an option).
    pub fn applies(&self, value_of: impl FnOnce(&str) -> Option<Value>) -> bool {
        !self.unless.as_ref().is_some_and(|unless| unless.holds(value_of))
    }
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.need.as_str().replace('_', " "))?;
        match &self.unless {
            Some(OptionValue { option, is }) => write!(f, " unless {option} = {is}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_version_is_read() {
        let newer: Requirement = serde_json::from_str("{\"need\": \"telepathy\", \"since\": 3}").unwrap();
        assert_eq!(newer, Requirement::always(Need::Other("telepathy".into())));
        let older = "{\"name\": \"a\", \"kind\": \"adapter\", \"about\": \"A.\", \"options\": {}}";
        let older: crate::StrategyRecord = serde_json::from_str(older).unwrap();
        assert_eq!(older.requires, []);
        // Nothing is added to the record of a strategy that needs nothing.
        assert!(!serde_json::to_string(&older).unwrap().contains("requires"));
    }

    #[test]
    fn a_condition_compares_values() {
        let warm = Requirement::unless(Need::PublicText, "warm_start", "none");
        let with = |value: Option<Value>| warm.applies(|option| value.filter(|_| option == "warm_start"));
        assert!(!with(Some("none".into())));
        assert!(with(Some("regression".into())) && with(None));
        let steps = Requirement::unless(Need::PublicText, "steps", 0);
        assert!(!steps.applies(|_| Some(0.0.into())) && steps.applies(|_| Some(0.5.into())));
        assert_eq!(warm.to_string(), "public text unless warm_start = \"none\"");
    }
}
