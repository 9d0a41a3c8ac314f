//! Combinations of strategies that cannot mean what they look like, by what the strategies declare of themselves.
//!
//! Scores: an estimator either ranks layers or gives all the same score; a replacer sorts by scores or has a rule of its own;
//! `adapter.placement = "top_score"` sorts as well. Sorting needs a ranking, and a ranking is refused if nothing reads it,
//! unless substitutes train while it is made. A training is refused if nothing would train.

use scaleot_plugin_api::{Declaration, OptionValue, StrategyRecord, Trait};

use super::choices::Placement;
use super::error::ConfigError;
use super::option_values::option_value;
use super::place::KeyPath;
use super::sections::{RunConfig, TrainingLength, TrainingSection};

impl RunConfig {
    /// Refuses an estimator and a replacer that do not go together.
    ///
    /// # Errors
    /// The key to change, and what goes with the rest.
    pub fn check_combination(&self, estimator: &StrategyRecord, replacer: &StrategyRecord) -> Result<(), ConfigError> {
        let equal = self.declares(estimator, &Trait::EqualScores);
        let own_rule = self.declares(replacer, &Trait::IgnoresScores);
        let placed_by_score = self.adapter.placement == Placement::TopScore;
        if equal && placed_by_score {
            return Err(self.nothing_to_place_by());
        }
        if !self.replaces_any() {
            return Ok(());
        }
        if equal && !own_rule {
            return Err(self.nothing_to_sort_by(replacer));
        }
        let trains =
            self.declares(estimator, &Trait::TrainsSubstitutes) && !self.declares(replacer, &Trait::TrainsNothing);
        if own_rule && !equal && !placed_by_score && !trains {
            return Err(self.nobody_reads(replacer));
        }
        Ok(())
    }

    /// Refuses an owner's training of a replacer that leaves it nothing to do.
    ///
    /// # Errors
    /// The key of the training's length, and what to do.
    pub fn check_trains(&self, replacer: &StrategyRecord) -> Result<(), ConfigError> {
        if self.train.is_none() || !self.declares(replacer, &Trait::TrainsNothing) {
            return Ok(());
        }
        Err(self.nothing_trains())
    }

    /// The refusal of an owner's training that would change nothing.
    pub fn nothing_trains(&self) -> ConfigError {
        let (key, found) = match self.train.as_ref().map(TrainingSection::length) {
            Some(TrainingLength::Steps(steps)) => ("train.steps", steps.to_string()),
            Some(TrainingLength::Epochs(epochs)) => ("train.epochs", epochs.to_string()),
            None => ("train", "no [train]".to_owned()),
        };
        let expected = format!(
            "no [train], because nothing that {} puts in a layer's place can train; or a replace.use whose substitutes do, \
             or whose objective trains kept layers",
            self.replace.strategy
        );
        self.wrong(key, found, expected)
    }

    /// The refusal of scores that turned out to be all the same, where the replacer sorts by them.
    pub fn scores_are_equal(&self, score: f32) -> ConfigError {
        let found =
            format!("\"{}\", which gave every layer between the adapters the score {score}", self.importance.strategy);
        let expected = format!(
            "scores that differ, because replace.use = \"{}\" chooses layers by them: another estimator, or more of its steps",
            self.replace.strategy
        );
        self.wrong("importance.use", found, expected)
    }

    /// The refusal of scores that turned out to be all the same, where adapters go by them.
    pub fn no_top_score(&self, score: f32) -> ConfigError {
        let expected = format!(
            "\"outer\", \"spread\" or \"spread_kept\", because importance.use = \"{}\" gave every layer the score {score}",
            self.importance.strategy
        );
        self.wrong("adapter.placement", "\"top_score\"".to_owned(), expected)
    }

    fn replaces_any(&self) -> bool {
        let none = self.replace.count == Some(0) || self.replace.ratio.is_some_and(|ratio| ratio.get() == 0.0);
        !none
    }

    fn declares(&self, record: &StrategyRecord, of: &Trait) -> bool {
        let options = self.strategy(record.kind).map(|(_, options)| options);
        let value_of = |option: &str| options.and_then(|options| option_value(options, record, option));
        record.declares.iter().any(|one| one.of == *of && one.applies(value_of))
    }

    fn nothing_to_place_by(&self) -> ConfigError {
        let expected = format!(
            "\"outer\", \"spread\" or \"spread_kept\", because importance.use = \"{}\" gives every layer the same score; \
             or an estimator that ranks layers",
            self.importance.strategy
        );
        self.wrong("adapter.placement", "\"top_score\"".to_owned(), expected)
    }

    fn nothing_to_sort_by(&self, replacer: &StrategyRecord) -> ConfigError {
        let found = format!("\"{}\", which gives every layer the same score", self.importance.strategy);
        let mut expected = format!(
            "an estimator that ranks layers, because replace.use = \"{}\" chooses them by score",
            self.replace.strategy
        );
        let own_rules = replacer.declares.iter().filter(|one| one.of == Trait::IgnoresScores);
        match own_rules.filter_map(|one| one.condition.as_ref()).next() {
            Some(OptionValue { option, is, .. }) => expected += &format!("; or replace.options.{option} = {is}"),
            None => expected += "; or a replacer with a rule of its own, such as \"offsite-tuning/layer-drop\"",
        }
        self.wrong("importance.use", found, expected)
    }

    fn nobody_reads(&self, replacer: &StrategyRecord) -> ConfigError {
        let found = format!("\"{}\", whose scores nothing reads", self.importance.strategy);
        let condition = |one: &Declaration| match &one.condition {
            Some(OptionValue { option, is, .. }) => format!(" with replace.options.{option} = {is}"),
            None => String::new(),
        };
        let rule = replacer.declares.iter().filter(|one| one.of == Trait::IgnoresScores);
        let value_of = |option: &str| option_value(&self.replace.options, replacer, option);
        let with = rule.filter(|one| one.applies(value_of)).map(condition).next().unwrap_or_default();
        let expected = format!(
            "\"offsite-tuning/uniform\", because replace.use = \"{}\"{with} chooses layers by a rule of its own; \
             or a replacer that reads scores, such as \"shortgpt/layer-removal\"",
            self.replace.strategy
        );
        self.wrong("importance.use", found, expected)
    }

    fn wrong(&self, key: &str, found: String, expected: String) -> ConfigError {
        let key = KeyPath::of(key);
        ConfigError::Value { place: self.places.of(&key), key, found, expected }
    }
}

#[cfg(test)]
#[path = "combination_tests.rs"]
mod tests;
