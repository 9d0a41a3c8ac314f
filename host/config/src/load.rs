//! From a path and the command line's overrides to a [`RunConfig`] that cannot be wrong.

use std::path::Path;

use serde_json::Value as Json;
use toml::{Table, Value};

use super::check::check_options;
use super::choices::Isolation;
use super::error::ConfigError;
use super::overlay::{self, EXCLUSIVE};
use super::place::{KeyPath, Place, Places};
use super::renamed::refuse_old_keys;
use super::sections::RunConfig;
use super::{paths, show, source};

/// The newest version of the config's format that this program reads.
const NEWEST_VERSION: i64 = 1;

/// The text that defines every default.
pub(crate) const REFERENCE: &str = include_str!("../../../configs/reference.toml");

impl RunConfig {
    /// Reads a config file and lays `key.path=value` overrides over it.
    ///
    /// # Errors
    /// The first thing that is wrong with the file, an override or a key: place, key, found, expected.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        Self::parse(path, &source::read(path)?, overrides)
    }

    /// Like [`Self::load`] with the text at hand; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(path: &Path, text: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        let (mut written, mut places) = source::parse(path, text)?;
        check_version(&written, &places)?;
        for text in overrides {
            overlay::apply(&mut written, text, &mut places)?;
        }
        refuse_old_keys(&written, &places)?;
        check_exclusive(&written, &places)?;
        leave_out_train(&mut written, &places)?;
        let mut whole = defaults()?;
        if !written.contains_key("train") {
            whole.remove("train");
        }
        overlay::overlay(&mut whole, written);
        check_options(&schema(), &whole, &KeyPath::default(), &places)?;
        let types = |problem: toml::de::Error| ConfigError::Types {
            path: path.to_path_buf(),
            problem: problem.message().to_owned(),
        };
        let mut config: Self = Value::Table(whole).try_into().map_err(types)?;
        config.places = places;
        config.complete();
        config.validate()?;
        Ok(config)
    }

    /// Fills in what follows from other keys.
    fn complete(&mut self) {
        if self.evaluate.tasks.is_empty() {
            self.evaluate.tasks.extend(self.data.task.clone());
        }
        paths::from_here(self);
    }

    /// Refuses combinations that no single key shows.
    fn validate(&self) -> Result<(), ConfigError> {
        self.check_isolation()?;
        self.check_train()?;
        paths::check(self)
    }

    /// Refuses a [train] without a length: it has none by default.
    fn check_train(&self) -> Result<(), ConfigError> {
        match &self.train {
            Some(section) if section.steps.is_none() && section.epochs.is_none() => {
                let key = KeyPath::of("train").key("steps");
                let expected = "a whole number of at least 1: optimiser steps; or `train.epochs`".to_owned();
                Err(ConfigError::MissingKey { place: self.places.of(&key), key, expected })
            }
            _ => Ok(()),
        }
    }

    /// Refuses a time limit without the process that would enforce it.
    fn check_isolation(&self) -> Result<(), ConfigError> {
        let seconds = self.plugins.call_timeout_s;
        if self.plugins.isolation == Isolation::Process || seconds == 0 {
            return Ok(());
        }
        let key = KeyPath::of("plugins").key("call_timeout_s");
        let (place, expected) = (self.places.of(&key), "0, because plugins.isolation is \"none\"".to_owned());
        Err(ConfigError::Value { place, key, found: seconds.to_string(), expected })
    }
}

/// Removes the section of the owner's training where an override sets its steps to 0: a suite can so leave out a training that
/// a method's config has. In a file 0 is refused, because leaving the section out says it.
fn leave_out_train(written: &mut Table, places: &Places) -> Result<(), ConfigError> {
    let steps = written.get("train").and_then(|train| train.get("steps"));
    if steps != Some(&Value::Integer(0)) {
        return Ok(());
    }
    let key = KeyPath::of("train").key("steps");
    match places.of(&key) {
        Place::Override { .. } => {
            written.remove("train");
            Ok(())
        }
        place => {
            let expected = "at least 1 step, or no [train]: left out, nothing of the emulator trains".to_owned();
            Err(ConfigError::Value { place, key, found: "0".to_owned(), expected })
        }
    }
}

/// Checks the version before anything else: a newer format may differ in all of it.
fn check_version(written: &Table, places: &Places) -> Result<(), ConfigError> {
    match written.get("version") {
        Some(&Value::Integer(found)) if found > NEWEST_VERSION => {
            let place = places.of(&KeyPath::of("version"));
            Err(ConfigError::NewerVersion { place, found, newest: NEWEST_VERSION })
        }
        _ => Ok(()),
    }
}

/// Refuses two keys of one layer that exclude each other; defaults never take part.
fn check_exclusive(written: &Table, places: &Places) -> Result<(), ConfigError> {
    for (section, first, second) in EXCLUSIVE {
        let Some(Value::Table(table)) = written.get(section) else { continue };
        if table.contains_key(first) && table.contains_key(second) {
            let section = KeyPath::of(section);
            let (first, second) = (section.key(first), section.key(second));
            let place = places.later(&first, &second);
            return Err(ConfigError::Both { place, first, second });
        }
    }
    Ok(())
}

pub(super) fn defaults() -> Result<Table, ConfigError> {
    source::parse(Path::new("configs/reference.toml (built in)"), REFERENCE).map(|(table, _)| table)
}

/// The schema that the config is checked against and that `config schema` prints.
fn schema() -> Json {
    show::schema()
}

#[cfg(test)]
#[path = "load_tests.rs"]
pub(crate) mod tests;

#[cfg(test)]
#[path = "effective_tests.rs"]
mod effective_tests;

#[cfg(test)]
#[path = "advice_tests.rs"]
mod advice_tests;
