//! Declarations in a strategy's record that make some combinations mean nothing, so that they are refused before
//! work starts: scores that nobody reads, equal scores for a replacer that sorts by them, a training of nothing.

use crate::requirement::OptionValue;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something that is not so of other strategies of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub enum Trait {
    /// Of an importance estimator: every layer gets the same score, so that there is nothing to sort by.
    EqualScores,
    /// Of an importance estimator: substitutes train while it works, so that it may be wanted for more than its scores.
    TrainsSubstitutes,
    /// Of a layer replacer: which layers are replaced is the same whatever the scores.
    IgnoresScores,
    /// Of a layer replacer: no substitute has a tensor that trains, and no objective trains kept layers.
    TrainsNothing,
    /// One that this version of the contract does not know; the host takes no notice.
    Other(String),
}

impl Trait {
    /// The word in records.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::EqualScores => "equal_scores",
            Self::TrainsSubstitutes => "trains_substitutes",
            Self::IgnoresScores => "ignores_scores",
            Self::TrainsNothing => "trains_nothing",
            Self::Other(other) => other,
        }
    }
}

impl From<String> for Trait {
    fn from(word: String) -> Self {
        match word.as_str() {
            "equal_scores" => Self::EqualScores,
            "trains_substitutes" => Self::TrainsSubstitutes,
            "ignores_scores" => Self::IgnoresScores,
            "trains_nothing" => Self::TrainsNothing,
            _ => Self::Other(word),
        }
    }
}

impl From<Trait> for String {
    fn from(one: Trait) -> Self {
        one.as_str().into()
    }
}

/// A trait, always or where an option has a certain value.
///
/// ```
/// use scaleot_plugin_api::{Declaration, Trait};
/// let even = Declaration::if_option(Trait::IgnoresScores, "selection", "even");
/// let options = |selection: &str| serde_json::json!({ "selection": selection });
/// assert!(even.applies(|option| options("even").get(option).cloned()));
/// assert!(!even.applies(|option| options("global").get(option).cloned()));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Declaration {
    /// The trait.
    #[serde(rename = "trait")]
    pub of: Trait,
    /// The condition under which it is so.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<OptionValue>,
}

impl Declaration {
    /// So whatever the options say.
    #[must_use]
    pub fn always(of: Trait) -> Self {
        Self { of, condition: None }
    }

    /// So where this option has this value.
    pub fn if_option(of: Trait, option: impl Into<String>, is: impl Into<Value>) -> Self {
        Self { of, condition: Some(OptionValue { option: option.into(), is: is.into() }) }
    }

    /// True where it is so with these values of options (`None` where nothing is known of an option).
    pub fn applies(&self, value_of: impl FnOnce(&str) -> Option<Value>) -> bool {
        self.condition.as_ref().is_none_or(|condition| condition.holds(value_of))
    }
}

impl std::fmt::Display for Declaration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.of {
            Trait::EqualScores => "gives every layer the same score",
            Trait::TrainsSubstitutes => "trains substitutes while it scores",
            Trait::IgnoresScores => "chooses layers whatever the scores",
            Trait::TrainsNothing => "has nothing for the owner's training",
            Trait::Other(other) => other,
        })?;
        match &self.condition {
            Some(OptionValue { option, is }) => write!(f, " if {option} = {is}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_version_is_read() {
        let newer: Declaration = serde_json::from_str("{\"trait\": \"clairvoyant\", \"since\": 3}").unwrap();
        assert_eq!(newer, Declaration::always(Trait::Other("clairvoyant".into())));
        let older = "{\"name\": \"a\", \"kind\": \"adapter\", \"about\": \"A.\", \"options\": {}}";
        let older: crate::StrategyRecord = serde_json::from_str(older).unwrap();
        assert_eq!(older.declares, []);
        assert!(!serde_json::to_string(&older).unwrap().contains("declares"));
    }

    #[test]
    fn a_declaration_reads_as_it_was_written() {
        let random = Declaration::if_option(Trait::IgnoresScores, "selection", "random");
        let text = serde_json::to_string(&random).unwrap();
        assert_eq!(text, r#"{"trait":"ignores_scores","if":{"option":"selection","is":"random"}}"#);
        assert_eq!(serde_json::from_str::<Declaration>(&text).unwrap(), random);
        assert_eq!(random.to_string(), "chooses layers whatever the scores if selection = \"random\"");
        assert!(!random.applies(|_| None));
        assert!(Declaration::always(Trait::EqualScores).applies(|_| None));
    }
}
