//! Strategies: made from options, named, described in a record, and called by method.

mod dispatch;
mod entry;
mod name;
mod record;

pub use dispatch::{CompressAnswer, CompressRequest, SelectRequest, reply};
pub use entry::{AnyStrategy, StrategyEntry, strategy_from_json};
pub use name::{NotAStrategyName, PLUGIN_NAME_RULE, StrategyName, is_plugin_name};
pub use record::{PluginRecord, StrategyKind, StrategyRecord};

use crate::declaration::Declaration;
use crate::error::PluginError;
use crate::requirement::Requirement;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// A strategy made from its options.
///
/// Options are a `serde` struct with `#[serde(deny_unknown_fields, default)]`; ranges belong in its JSON Schema, and only there.
/// The host checks them first and names file and line; the plugin checks them again, whoever the host is, before
/// [`new`](Self::new), which has the last word on what a range cannot say, such as what goes together.
pub trait Strategy: Sized {
    /// The strategy's options, with the defaults of its paper.
    type Options: DeserializeOwned + JsonSchema;

    /// A strategy with these options, whose numbers are within the bounds of their schema.
    ///
    /// # Errors
    /// `Options`, naming the option, what was found and what was expected.
    fn new(options: Self::Options) -> Result<Self, PluginError>;

    /// Needs of this strategy that a run must meet. Default: none.
    #[must_use]
    fn requires() -> Vec<Requirement> {
        Vec::new()
    }

    /// Declarations that set it apart from others of its kind, such as a replacer whose choice reads no scores. Default: none.
    #[must_use]
    fn declares() -> Vec<Declaration> {
        Vec::new()
    }
}
