//! A multiple-choice task as a data file: how a line of JSON becomes a question.
//!
//! ```toml
//! name = "my_task"                       # as in lm-evaluation-harness, where it has the task
//! version = 1.0
//! licence = "MIT"                        # of the data
//! chance = 0.25                          # accuracy of guessing
//! metrics = ["acc", "acc_norm", "answer_loss"]
//! files = "my_task/{split}.jsonl"        # relative to the tasks folder
//! validation_split = "validation"        # and training_split, test_split: what {split} becomes
//! doc_to_text = "Question: {{question}}\nAnswer:"
//! doc_to_choice = "choices"              # an expression that gives a list of texts, or the list
//! doc_to_target = "gold"                 # an expression: index, or the text of the right choice; or the index
//! # target_delimiter = " "               # between context and answer
//! # doc_to_continuation = "{{end}}"      # if given, choices end the context and this is what is scored
//! ```
//!
//! The templates are those of lm-evaluation-harness (`template`). Built-in files lie in `tasks/`; a user adds one to a folder,
//! and needs no code (`task_set`). Unknown keys are refused.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::error::{DataError, quote};
use super::template::{Said, environment, message};

/// A task file, checked.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    pub name: String,
    pub version: f64,
    pub licence: String,
    pub chance: f64,
    pub metrics: Vec<Metric>,
    pub files: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_split: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_split: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_split: Option<String>,
    pub doc_to_text: String,
    #[serde(deserialize_with = "expression")]
    pub doc_to_choice: String,
    #[serde(deserialize_with = "expression")]
    pub doc_to_target: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_to_continuation: Option<String>,
    #[serde(default = "space")]
    pub target_delimiter: String,
}

fn space() -> String {
    " ".to_owned()
}

/// A list or a number, as the harness's files may have them, is the expression that gives it.
fn expression<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Index(u32),
        Choices(Vec<String>),
    }
    let expected = "expected a template, a list of texts, or an index";
    match Written::deserialize(deserializer).map_err(|_| serde::de::Error::custom(expected))? {
        Written::Text(text) => Ok(text),
        Written::Index(index) => Ok(index.to_string()),
        Written::Choices(choices) => serde_json::to_string(&choices).map_err(serde::de::Error::custom),
    }
}

/// A figure that a result reports of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The choice of the largest summed log-probability.
    Acc,
    /// The same, divided by the answer's length in characters.
    AccNorm,
    /// Nats per token of the right answer.
    AnswerLoss,
}

impl Metric {
    /// The metric's name in result files.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Acc => "acc",
            Self::AccNorm => "acc_norm",
            Self::AnswerLoss => "answer_loss",
        }
    }

    /// True if a larger value is better.
    #[must_use]
    pub fn higher_is_better(self) -> bool {
        !matches!(self, Self::AnswerLoss)
    }
}

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    Train,
    Validation,
    Test,
}

impl Split {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl Task {
    /// Reads one task file; `file` names it in messages.
    ///
    /// # Errors
    /// Bad TOML, an unknown or missing key, or a value that cannot work.
    pub fn parse(text: &str, file: &str) -> Result<Self, DataError> {
        let task: Self = toml::from_str(text).map_err(|error| DataError::TaskSyntax {
            file: file.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        task.check(file)?;
        Ok(task)
    }

    /// The file with the questions of `split`.
    ///
    /// # Errors
    /// The set has no such split.
    pub fn file(&self, tasks: &Path, split: Split) -> Result<PathBuf, DataError> {
        let named = match split {
            Split::Train => &self.training_split,
            Split::Validation => &self.validation_split,
            Split::Test => &self.test_split,
        };
        match named {
            Some(name) => Ok(tasks.join(self.files.replace("{split}", name))),
            None => Err(DataError::NoSplit {
                task: self.name.clone(),
                split: split.name(),
                known: self.splits().join(", "),
            }),
        }
    }

    fn splits(&self) -> Vec<&'static str> {
        let all = [
            (&self.training_split, Split::Train),
            (&self.validation_split, Split::Validation),
            (&self.test_split, Split::Test),
        ];
        all.into_iter().filter(|(name, _)| name.is_some()).map(|(_, split)| split.name()).collect()
    }

    fn check(&self, file: &str) -> Result<(), DataError> {
        let refuse = |key: &'static str, found: String, expected: &str| {
            Err(DataError::TaskKey { file: file.to_owned(), key, found, expected: expected.to_owned() })
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return refuse("name", quote(&self.name), "letters, digits, `_` and `-`");
        }
        if !(0.0..1.0).contains(&self.chance) {
            return refuse("chance", self.chance.to_string(), "a number from 0 up to, not including, 1");
        }
        if !self.version.is_finite() {
            return refuse("version", self.version.to_string(), "a number");
        }
        if self.metrics.is_empty() {
            return refuse("metrics", "none".to_owned(), "one or more of acc, acc_norm, answer_loss");
        }
        if self.splits().is_empty() {
            return refuse(
                "validation_split",
                "no split".to_owned(),
                "one or more of training_split, validation_split, test_split",
            );
        }
        if !is_inside(&self.files) {
            return refuse("files", quote(&self.files), "a path inside the tasks folder, as \"my_task/{split}.jsonl\"");
        }
        self.check_templates(file)
    }

    /// Compiles every template once, so that a slip is found before any data is read.
    fn check_templates(&self, file: &str) -> Result<(), DataError> {
        let environment = environment();
        let refuse = |key, text: &str, error: &minijinja::Error| DataError::TaskKey {
            file: file.to_owned(),
            key,
            found: quote(text),
            expected: format!("a Jinja template ({})", message(error)),
        };
        for (key, text) in
            [("doc_to_text", Some(&self.doc_to_text)), ("doc_to_continuation", self.doc_to_continuation.as_ref())]
        {
            if let Some(text) = text {
                Said::text(&environment, text).map_err(|error| refuse(key, text, &error))?;
            }
        }
        for (key, text) in [("doc_to_choice", &self.doc_to_choice), ("doc_to_target", &self.doc_to_target)] {
            Said::value(&environment, text).map_err(|error| refuse(key, text, &error))?;
        }
        Ok(())
    }
}

/// A relative path that stays where it begins.
fn is_inside(path: &str) -> bool {
    use std::path::Component;
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}
