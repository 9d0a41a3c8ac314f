//! Keys that take one of a few words.

use std::borrow::Cow;

use scaleot_tensor::Dtype;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The element type that the model computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    Fp32,
    Bf16,
    Fp16,
}

impl From<Precision> for Dtype {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Fp32 => Self::F32,
            Precision::Bf16 => Self::BF16,
            Precision::Fp16 => Self::F16,
        }
    }
}

/// The process that plugin libraries run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// In the process that the person started.
    None,
    /// In a process that the first one watches.
    Process,
}

/// The rule by which adapter layers get their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// Half at each end.
    Outer,
    /// At even distances.
    Spread,
    /// At even distances among the layers that the replacer keeps.
    SpreadKept,
    /// The layers of the highest importance score.
    TopScore,
}

/// The treatment of a plugin library that nothing pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unpinned {
    /// It is loaded.
    Allow,
    /// It is loaded only if it lies beside the program.
    Refuse,
}

impl Unpinned {
    /// The word in configs and on the command line.
    pub fn key(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Refuse => "refuse",
        }
    }
}

/// A column of the result table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// The full model, untuned.
    ZeroShot,
    /// The emulator, untuned.
    Emulator,
    /// The emulator with the tuned adapter.
    EmulatorTuned,
    /// The full model with the tuned adapter.
    PlugIn,
    /// The full model, all layers tuned: the upper bound.
    FullTuning,
}

impl Column {
    /// The word in configs, artefacts and reports.
    pub fn key(self) -> &'static str {
        match self {
            Self::ZeroShot => "zero_shot",
            Self::Emulator => "emulator",
            Self::EmulatorTuned => "emulator_tuned",
            Self::PlugIn => "plug_in",
            Self::FullTuning => "full_tuning",
        }
    }
}

pub use scaleot_plugin_api::{StrategyKind, StrategyName};

/// The schema and the words of `runtime.device`.
pub(super) struct DeviceText;

impl DeviceText {
    /// The words of a refusal for the values that a config may have.
    pub(super) const EXPECTED: &'static str = "\"cpu\", \"cuda\" or \"cuda:<number>\"";
}

impl JsonSchema for DeviceText {
    fn schema_name() -> Cow<'static, str> {
        "Device".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "scaleot-device", "pattern": "^(cpu|cuda(:[0-9]{1,3})?)$" })
    }
}
