//! The suite file: which methods, on which tasks, with which seeds, over which grid.
//!
//! ```toml
//! version = 1
//! output = "runs/compare"
//! tasks = ["arc_easy", "openbookqa"]        # each is tuned on and evaluated on
//! seeds = [0, 1, 2]                         # of the tuning; the owner's seed stays, so that the owner's stages are shared
//! [[method]]
//! name = "uniform"                          # the label in tables
//! config = "../uniform-drop.toml"           # a run config, from the suite file's folder
//! set = ["replace.ratio=0.25"]      # over the config's
//! [axes]                                    # optional: every method with every combination
//! "replace.ratio" = [0.25, 0.5]
//! ```
//!
//! Checked like a run config: unknown keys, types, ranges, lists that are empty or say a thing twice, by file, line and key.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use toml::{Table, Value};

use super::error::SuiteError;
use scaleot_config::{ConfigError, KeyPath, Places, check_options, overlay, source};

/// Keys of the suite file that the command line may set; every other override goes to the cells.
const OWN_KEYS: [&str; 3] = ["output", "tasks", "seeds"];

/// A checked suite file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// The version of the suite's format.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// The folder of runs, shared stages and results; relative paths start at the current folder.
    #[schemars(length(min = 1))]
    pub output: PathBuf,
    /// Task names as in lm-evaluation-harness.
    #[schemars(extend("minItems" = 1, "uniqueItems" = true), inner(length(min = 1)))]
    pub tasks: Vec<String>,
    /// Seeds of the tuning.
    #[schemars(extend("minItems" = 1, "uniqueItems" = true), inner(range(max = 9_223_372_036_854_775_807_u64)))]
    pub seeds: Vec<u64>,
    /// At least one.
    #[schemars(extend("minItems" = 1))]
    pub method: Vec<Method>,
    /// Config keys and the values that each takes.
    #[serde(default)]
    #[schemars(with = "std::collections::BTreeMap<String, AxisSchema>")]
    pub axes: Table,
    /// The place at which each key was written.
    #[serde(skip)]
    pub places: Places,
    /// Overrides of the command line for every cell.
    #[serde(skip)]
    pub overrides: Vec<String>,
    /// A pool of stages in place of the output's own.
    #[serde(skip)]
    pub pool: Option<PathBuf>,
}

/// One method: a run config and what differs from it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// The label in tables.
    #[schemars(length(min = 1, max = 40))]
    pub name: String,
    /// A run config; a relative path starts at the suite file's folder.
    #[schemars(length(min = 1))]
    pub config: PathBuf,
    /// `key=value` over the config's.
    #[serde(default)]
    pub set: Vec<String>,
}

/// The values of one axis: any, at least one, each once.
struct AxisSchema;

impl JsonSchema for AxisSchema {
    fn schema_name() -> Cow<'static, str> {
        "Axis".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "minItems": 1, "uniqueItems": true })
    }
}

impl Suite {
    /// Reads a suite file; `overrides` of its own keys are laid over it, the others are for the cells.
    ///
    /// # Errors
    /// The first thing that is wrong, by file, line and key.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, SuiteError> {
        Self::parse(path, &source::read(path)?, overrides)
    }

    /// Like [`Self::load`] with the text at hand.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(path: &Path, text: &str, overrides: &[String]) -> Result<Self, SuiteError> {
        let (mut table, mut places) = source::parse(path, text)?;
        let key_of = |text: &String| text.split('=').next().unwrap_or_default().trim().to_owned();
        let (own, others): (Vec<_>, Vec<_>) =
            overrides.iter().cloned().partition(|text| OWN_KEYS.contains(&key_of(text).as_str()));
        for text in &own {
            overlay::apply(&mut table, text, &mut places)?;
        }
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let schema = settings.into_generator().into_root_schema_for::<Self>().to_value();
        check_options(&schema, &table, &KeyPath::default(), &places)?;
        let types = |problem: toml::de::Error| ConfigError::Types {
            path: path.to_path_buf(),
            problem: problem.message().to_owned(),
        };
        let mut suite: Self = Value::Table(table).try_into().map_err(types)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        suite.method.iter_mut().for_each(|method| method.config = plain(&folder.join(&method.config)));
        (suite.places, suite.overrides) = (places, others);
        suite.check()?;
        Ok(suite)
    }

    /// True if a file is a suite and no run config, by the keys that only suites have; a file that is neither is none.
    pub fn is_suite(path: &Path) -> bool {
        let table = source::read(path).ok().and_then(|text| source::parse(path, &text).ok());
        table.is_some_and(|(table, _)| ["method", "tasks", "seeds", "axes"].iter().any(|key| table.contains_key(*key)))
    }

    /// Checks what no single key shows.
    fn check(&self) -> Result<(), SuiteError> {
        for (index, method) in self.method.iter().enumerate() {
            let key = KeyPath::of("method").index(index).key("name");
            let earlier = self.method.iter().take(index);
            if earlier.map(|other| &other.name).any(|name| *name == method.name) {
                return Err(self.refusal(key, format!("`{}` twice", method.name), "a name of its own".into()));
            }
            if !scaleot_store::is_name_part(&method.name) {
                let found = format!("`{}`", scaleot_store::escape::escape(&method.name));
                let expected = "letters, digits, `_`, `-` and `.`, not beginning with a dot";
                return Err(self.refusal(key, found, expected.into()));
            }
        }
        Ok(())
    }

    /// A value of the suite file that will not do.
    pub fn refusal(&self, key: KeyPath, found: String, expected: String) -> SuiteError {
        SuiteError::Value { place: self.places.of(&key), key, found, expected }
    }
}

/// A path without `folder/..`, so that messages stay short.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            std::path::Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}
