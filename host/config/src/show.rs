//! Forms of a config: the effective TOML, its digest, its JSON Schema, and how two of them differ.

use std::collections::BTreeMap;
use std::fmt;

use schemars::generate::SchemaSettings;
use serde_json::Value as Json;
use toml::Value;

use super::error::ConfigError;
use super::expect::found;
use super::place::KeyPath;
use super::sections::RunConfig;
use scaleot_store::Digest;

/// The JSON Schema of a run config, without references: every section is written out where it is used.
pub fn schema() -> Json {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<RunConfig>().to_value()
}

/// A key whose value differs between two configs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub key: KeyPath,
    /// `None` where the key is not set.
    pub old: Option<String>,
    pub new: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
        write!(f, "`{}` was {}, is {}", self.key, text(&self.old), text(&self.new))
    }
}

impl RunConfig {
    /// The effective config: every key with the value that counts. Loading it gives an equal config.
    ///
    /// # Errors
    /// A fault of ours: every config can be written.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string_pretty(self).map_err(|error| self.unwritable(&error))
    }

    /// The SHA-256 of [`Self::to_toml`]: equal for configs that mean the same.
    ///
    /// # Errors
    /// As [`Self::to_toml`].
    pub fn digest(&self) -> Result<Digest, ConfigError> {
        Ok(Digest::of(self.to_toml()?.as_bytes()))
    }

    /// The keys in which `self` differs from an `old` config, sorted.
    ///
    /// # Errors
    /// As [`Self::to_toml`].
    pub fn differences(&self, old: &Self) -> Result<Vec<Difference>, ConfigError> {
        let (old, new) = (old.leaves()?, self.leaves()?);
        let mut keys: Vec<_> = old.keys().chain(new.keys()).collect();
        keys.sort();
        keys.dedup();
        let differing = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
        let differences = differing.map(|key| Difference {
            key: key.clone(),
            old: old.get(key).cloned(),
            new: new.get(key).cloned(),
        });
        Ok(differences.collect())
    }

    pub(super) fn leaves(&self) -> Result<BTreeMap<KeyPath, String>, ConfigError> {
        let whole = Value::try_from(self).map_err(|error| self.unwritable(&error))?;
        Ok(leaves_of(&whole))
    }

    fn unwritable(&self, error: &toml::ser::Error) -> ConfigError {
        ConfigError::Types { path: self.places.path().to_path_buf(), problem: error.to_string() }
    }
}

/// All values except tables, in words, by key.
pub(super) fn leaves_of(whole: &Value) -> BTreeMap<KeyPath, String> {
    let mut leaves = BTreeMap::new();
    collect(whole, &KeyPath::default(), &mut leaves);
    leaves
}

fn collect(value: &Value, at: &KeyPath, leaves: &mut BTreeMap<KeyPath, String>) {
    match value {
        Value::Table(table) => table.iter().for_each(|(key, inner)| collect(inner, &at.key(key), leaves)),
        Value::Array(items) => {
            leaves.insert(at.clone(), format!("[{}]", items.iter().map(found).collect::<Vec<_>>().join(", ")));
        }
        leaf => {
            leaves.insert(at.clone(), found(leaf));
        }
    }
}
