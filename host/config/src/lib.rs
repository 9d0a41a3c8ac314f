//! The run config: one TOML file that serves every verb of both parties.
//!
//! Rule: text → checked source → overlaid on `configs/reference.toml` (the only place that knows a default) → checked
//! against the JSON Schema of [`RunConfig`] → [`RunConfig`], whose fields cannot be wrong. Plugin options pass the same
//! schema check with the plugin's own schema, so an option fails like any other key: file, line, key, found, expected.

pub mod check;
pub mod choices;
pub mod combination;
pub mod error;
pub mod expect;
pub mod idle;
pub mod layers;
pub mod load;
pub mod needs;
pub mod numbers;
mod option_values;
pub mod overlay;
pub mod paths;
pub mod place;
mod renamed;
pub mod sections;
pub mod show;
pub mod source;
pub mod strategy;

pub use check::check_options;
pub use choices::{Column, Isolation, Placement, Precision, StrategyKind, StrategyName, Unpinned};
pub use error::ConfigError;
pub use layers::LayerBudget;
pub use needs::ConfigNeed;
pub use numbers::{Decay, Epsilon, Momentum, NonNegative, Positive, Rate, Ratio};
pub use overlay::refuse_twice;
pub use place::{KeyPath, Place, Places};
pub use scaleot_data::Split;
pub use scaleot_plugin_api::Schedule;
pub use sections::{
    AdapterSection, BundleSection, CompressSection, DataSection, EvaluateSection, ImportanceSection, ModelSection,
    PlugInSection, PluginsSection, PublicDataSection, ReplaceSection, RunConfig, RuntimeSection, TrainingLength,
    TrainingSection,
};
pub use strategy::KnownStrategy;
