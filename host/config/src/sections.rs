//! The config as types: one struct a section, in the order of the file.
//!
//! The doc comment of a field is its description in `config schema`. Defaults stand in `configs/reference.toml` alone;
//! by the time serde sees a config it is complete, so a field without a default there is a required key.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};

use scaleot_data::Split;
use scaleot_plugin_api::Schedule;
use scaleot_tensor::Device;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choices::{Column, DeviceText, Isolation, Placement, Precision, StrategyName, Unpinned};
use super::numbers::{Decay, Epsilon, Momentum, NonNegative, Positive, Rate, Ratio};
use super::place::Places;

/// Samples of a batch, or batches of a step: more are a slip, and sizes computed from them stay within 64 bits.
const LARGEST_BATCH: u32 = 1 << 20;
/// Steps of a training: a thousand a second for thirty years.
const MOST_STEPS: u64 = 1_000_000_000_000;

/// A whole run: both parties' parts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The version of the config's format.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// Decides every random choice of the run.
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    pub seed: u64,
    /// The run folder; relative paths start at the current folder.
    #[schemars(length(min = 1))]
    pub output: PathBuf,
    /// The model owner's model.
    pub model: ModelSection,
    /// The machine.
    pub runtime: RuntimeSection,
    /// Folders of plugin libraries, and the trust that they are given.
    pub plugins: PluginsSection,
    /// The data owner's data, and the folder of task files.
    pub data: DataSection,
    /// The model owner's public text.
    pub public_data: PublicDataSection,
    /// The estimator that scores layers.
    pub importance: ImportanceSection,
    /// The replacer, and the number of layers that give way.
    pub replace: ReplaceSection,
    /// The owner's training of the chosen emulator on public text, with AdamW. Left out, nothing of it trains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<TrainingSection>,
    /// Left out, kept layers stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compress: Option<CompressSection>,
    /// The adapter that is trained.
    pub adapter: AdapterSection,
    /// Files that go along with the emulator beside its weights.
    pub bundle: BundleSection,
    /// The data owner's tuning, with AdamW.
    pub tune: TrainingSection,
    /// The model owner's handling of a return.
    pub plug_in: PlugInSection,
    /// The upper bound; run where `evaluate.columns` names `full_tuning`.
    pub full_tuning: TrainingSection,
    /// The columns, questions and texts of the table.
    pub evaluate: EvaluateSection,
    /// The place that each key was written at, for messages.
    #[serde(skip)]
    pub(super) places: Places,
}

/// The model owner's model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// A model folder in the Hugging Face layout; only the model owner's commands need it. Empty where it is left out.
    #[serde(default, skip_serializing_if = "is_left_out")]
    #[schemars(length(min = 1))]
    pub path: PathBuf,
    /// The element type that frozen weights are held and computed in.
    pub dtype: Precision,
}

fn is_left_out(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

impl ModelSection {
    /// The model folder, if the config names one.
    pub fn folder(&self) -> Option<&Path> {
        Some(self.path.as_path()).filter(|path| !is_left_out(path))
    }
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuntimeSection {
    /// The device that does the work: `cpu`, `cuda` or `cuda:<number>`.
    #[schemars(with = "DeviceText")]
    pub device: Device,
    /// Threads of the tensor engine; 0 takes all cores.
    #[schemars(range(max = 4096))]
    pub threads: u32,
}

/// Folders of plugin libraries, and the trust that they are given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginsSection {
    /// Folders or files.
    pub paths: Vec<PathBuf>,
    /// The SHA-256 that a plugin's library must have, by plugin name.
    #[schemars(with = "BTreeMap<String, super::strategy::PinSchema>")]
    pub pins: BTreeMap<String, scaleot_store::Digest>,
    /// The treatment of a library that neither `pins` nor `scaleot.lock` names; those beside the program are always loaded.
    pub unpinned: Unpinned,
    /// The process of a command that uses plugin libraries: `process`, one of its own, watched by the program, or `none`, in the program itself.
    pub isolation: Isolation,
    /// A plugin call that neither returns nor asks the host for anything for so many seconds is ended; 0 waits for ever.
    #[schemars(range(max = 86_400))]
    pub call_timeout_s: u32,
}

/// The data owner's data, and the folder of task files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// The multiple-choice or question task that the data owner tunes on; or `text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub task: Option<String>,
    /// Plain text files that the data owner tunes on as a language model; or `task`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub text: Vec<PathBuf>,
    /// The folder of the task files.
    #[schemars(length(min = 1))]
    pub folder: PathBuf,
    /// Use at most this many training samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<NonZeroU32>,
    /// Use at most this many validation samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_limit: Option<NonZeroU32>,
    /// Tokens of one block of `text`; at most the model's context counts.
    #[schemars(range(min = 2, max = 1_048_576))]
    pub block_length: u32,
}

/// The model owner's public text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicDataSection {
    /// Text files for importance and for training replacements; no part of the private data.
    pub text: Vec<PathBuf>,
    /// Tokens of one block of text; at most the model's context counts.
    #[schemars(range(min = 2, max = 1_048_576))]
    pub block_length: u32,
}

/// The estimator that scores layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportanceSection {
    /// `<plugin>/<strategy>`.
    #[serde(rename = "use")]
    pub strategy: StrategyName,
    /// Windows of public text of one training step, and of one judgement unless `held_out_batch_size` says otherwise.
    #[schemars(range(min = 1, max = LARGEST_BATCH))]
    pub batch_size: NonZeroU32,
    /// Windows of held-out public text that the candidates of one round are judged on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = LARGEST_BATCH))]
    pub held_out_batch_size: Option<NonZeroU32>,
    /// Steps between checkpoints.
    pub checkpoint_every: NonZeroU32,
    /// The strategy's own options.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub options: toml::Table,
}

/// The replacer, and the number of layers that give way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceSection {
    /// `<plugin>/<strategy>`.
    #[serde(rename = "use")]
    pub strategy: StrategyName,
    /// The share of the middle layers that is replaced (alpha); or `count`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Ratio>,
    /// The number of middle layers that are replaced; or `ratio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// The strategy's own options.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub options: toml::Table,
}

/// The compressor of the kept layers' weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompressSection {
    /// `<plugin>/<strategy>`.
    #[serde(rename = "use")]
    pub strategy: StrategyName,
    /// The strategy's own options.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub options: toml::Table,
}

/// The adapter that is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdapterSection {
    /// `<plugin>/<strategy>`.
    #[serde(rename = "use")]
    pub strategy: StrategyName,
    /// The number of layers that train (N_a): even, split between the two ends.
    #[schemars(range(min = 2), extend("multipleOf" = 2))]
    pub layers: u32,
    /// The rule by which adapter layers get their places.
    pub placement: Placement,
    /// The strategy's own options.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub options: toml::Table,
}

/// Files that go along with an emulator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BundleSection {
    /// Send the model's chat template, without its comments.
    pub chat_template: bool,
    /// Files of the model folder that go along as they are, such as LICENSE.
    #[schemars(inner(length(min = 1)))]
    pub include: Vec<String>,
}

/// A training with AdamW, of either party.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainingSection {
    /// The peak learning rate.
    pub learning_rate: Rate,
    /// Passes over the data; or `steps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub epochs: Option<NonZeroU32>,
    /// Optimiser steps; or `epochs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MOST_STEPS))]
    pub steps: Option<NonZeroU64>,
    /// Samples of one forward pass.
    #[schemars(range(min = 1, max = LARGEST_BATCH))]
    pub batch_size: NonZeroU32,
    /// Forward passes of one optimiser step.
    #[schemars(range(min = 1, max = LARGEST_BATCH))]
    pub accumulation: NonZeroU32,
    /// AdamW's decay of the trained values, as a share of the learning rate.
    pub weight_decay: Decay,
    /// AdamW's two decays.
    pub betas: [Momentum; 2],
    /// AdamW's divisor floor.
    pub epsilon: Epsilon,
    /// The fall of the learning rate after the warm-up.
    pub schedule: Schedule,
    /// Steps in which the learning rate rises from 0.
    pub warmup_steps: u32,
    /// The gradient's greatest norm; 0 leaves it whole.
    pub clip_norm: NonNegative,
    /// Optimiser steps between validations; 0 validates after each epoch.
    pub evaluate_every: u32,
    /// Optimiser steps between checkpoints.
    pub checkpoint_every: NonZeroU32,
    /// Decides the order of samples; the run's `seed` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    pub seed: Option<u64>,
}

/// The length of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainingLength {
    Epochs(NonZeroU32),
    Steps(NonZeroU64),
}

impl TrainingSection {
    /// Epochs or steps, whichever the config says; loading has refused both and neither.
    pub fn length(&self) -> TrainingLength {
        match (self.steps, self.epochs) {
            (Some(steps), _) => TrainingLength::Steps(steps),
            (None, epochs) => TrainingLength::Epochs(epochs.unwrap_or(NonZeroU32::MIN)),
        }
    }
}

/// The model owner's handling of a return.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlugInSection {
    /// The greatest `||delta|| / ||shipped||` of a tensor that is plugged in.
    pub max_delta_ratio: Positive,
    /// Write the adapted model as a Hugging Face folder.
    pub export: bool,
}

/// The columns, questions and texts of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluateSection {
    /// Task names as in lm-evaluation-harness; left empty, the task of `data`.
    #[schemars(inner(length(min = 1)))]
    pub tasks: Vec<String>,
    /// Plain text files for perplexity.
    pub text: Vec<PathBuf>,
    /// Tokens of one window of text; at most the model's context counts.
    #[schemars(range(min = 2, max = 1_048_576))]
    pub block_length: u32,
    /// The part of the tasks' data.
    pub split: Split,
    /// Use at most this many samples of each task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<NonZeroU32>,
    /// Tokens of one forward pass.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub batch_tokens: NonZeroU32,
    /// The columns, in this order whatever the order here.
    #[schemars(extend("minItems" = 1, "uniqueItems" = true))]
    pub columns: Vec<Column>,
}

impl RunConfig {
    /// The places of all keys.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// True of a config without a strategy of the adapter: then a bundle from elsewhere alone says what trains.
    pub fn names_no_adapter(&self) -> bool {
        let written = |key: &str| self.places.is_set(&super::place::KeyPath::of("adapter").key(key));
        !written("use") && !written("options")
    }

    /// The seed of a training.
    pub fn seed_of(&self, training: &TrainingSection) -> u64 {
        training.seed.unwrap_or(self.seed)
    }
}
