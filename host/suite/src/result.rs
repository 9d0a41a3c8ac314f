//! Everything that a suite found, in one record: tables, files and reports are views of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cells::PointKey;

/// The record of a suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuiteResult {
    /// The suite file's name.
    pub suite: String,
    pub tasks: Vec<String>,
    /// Seeds of the tuning.
    pub seeds: Vec<u64>,
    /// Column keys in the order of the table; those that some cell has.
    pub columns: Vec<String>,
    /// Methods with their settings, in the order of the suite.
    pub points: Vec<Point>,
    /// Paired tests between points, on the plugged-in models.
    pub comparisons: Vec<Comparison>,
    pub missing: Vec<Missing>,
    /// Wall time of all stages, each shared one once.
    pub seconds: f64,
    /// Every finished cell.
    pub cells: Vec<CellRecord>,
}

/// A method with one combination of settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    #[serde(flatten)]
    pub key: PointKey,
    /// The words for tables.
    pub label: String,
    pub rows: Vec<PointRow>,
    /// Largest bundle of its cells; they differ by nothing but a seed that the bundle may depend on.
    pub bundle_bytes: Option<u64>,
    /// Wall time of the stages that its cells rest on, each shared one once, whoever made it.
    pub seconds: Option<f64>,
    /// Accuracies over all tasks, if no cell is missing.
    pub standing: Option<Standing>,
    /// Labels of the points that are at least as good in both accuracies and better in one.
    pub dominated_by: Vec<String>,
}

/// One metric of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointRow {
    pub task: String,
    pub metric: String,
    /// By column key.
    pub figures: BTreeMap<String, Summary>,
    /// Plug-in over emulator-tuned, positive is better for the owner.
    pub gap: Option<Summary>,
}

/// The sample over which a standard error is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// Each seed gave a model of its own.
    Seeds,
    /// There is one model: the questions are the sample.
    Questions,
}

/// A mean over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub mean: f64,
    /// None for one question.
    pub stderr: Option<f64>,
    pub over: Over,
    /// Seeds that the mean rests on.
    pub seeds: usize,
}

/// The place of a point between privacy and utility: accuracies, averaged over the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Accuracy of the data owner without the model owner: the lower, the better protected.
    pub emulator_tuned: f64,
    /// Accuracy that the model owner can offer: the higher, the better.
    pub plug_in: f64,
}

/// A paired test: the same questions, each answered by the plugged-in models of two points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    pub task: String,
    pub metric: String,
    /// Labels; the difference is `first - second`.
    pub first: String,
    pub second: String,
    /// Questions, and seeds that each question was averaged over.
    pub questions: usize,
    pub seeds: usize,
    /// Mean difference, and its standard error over the questions.
    pub difference: f64,
    pub stderr: Option<f64>,
    /// Student's t with `questions - 1` degrees of freedom; none where no question differs.
    pub t: Option<f64>,
    /// Two-sided.
    pub p: Option<f64>,
    /// Holm's correction for all pairs of this task and metric.
    pub p_holm: Option<f64>,
}

/// A cell without a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    pub cell: String,
    /// Label of its point.
    pub point: String,
    pub task: String,
    pub seed: u64,
    pub reason: String,
}

/// A finished cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellRecord {
    pub cell: String,
    /// Label of its point.
    pub point: String,
    pub task: String,
    pub seed: u64,
    /// Its run folder.
    pub folder: String,
    pub bundle_bytes: Option<u64>,
    /// Values that the data owner trained.
    pub trainable: Option<u64>,
    /// Stages that it rests on, with the digest of what each is made from.
    pub stages: Vec<StageRecord>,
}

/// A stage of a cell; equal digests are one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    pub stage: String,
    pub inputs: String,
    /// Wall time where it was made, if that is known.
    pub seconds: Option<f64>,
}
