//! Entries: the strategies that a plugin exports, each with the way it is made from JSON.

use super::Strategy;
use super::record::{StrategyKind, StrategyRecord};
use crate::adapter::Adapter;
use crate::compress::Compressor;
use crate::error::PluginError;
use crate::importance::ImportanceEstimator;
use crate::replace::LayerReplacer;
use crate::schema::check_numbers;

/// A strategy of any kind.
pub enum AnyStrategy {
    /// [`ImportanceEstimator`].
    Importance(Box<dyn ImportanceEstimator>),
    /// [`LayerReplacer`].
    Replace(Box<dyn LayerReplacer>),
    /// [`Compressor`].
    Compress(Box<dyn Compressor>),
    /// [`Adapter`].
    Adapter(Box<dyn Adapter>),
}

/// A strategy that `export_plugin!` offers.
#[non_exhaustive]
pub struct StrategyEntry {
    /// Its description.
    pub record: StrategyRecord,
    /// Makes one from its options as JSON.
    pub create: fn(&[u8]) -> Result<AnyStrategy, PluginError>,
}

impl StrategyEntry {
    /// An entry of a description and the way to make the strategy.
    #[must_use]
    pub fn new(record: StrategyRecord, create: fn(&[u8]) -> Result<AnyStrategy, PluginError>) -> Self {
        Self { record, create }
    }
}

/// A strategy from its options as JSON, as the host makes it: numbers within the bounds of their schema, then
/// [`Strategy::new`].
///
/// # Errors
/// `Options`, naming the option, what was found and what was expected.
pub fn strategy_from_json<S: Strategy>(options: &[u8]) -> Result<S, PluginError> {
    // What is no JSON at all is refused below, with the reader's own words.
    if let Ok(given) = serde_json::from_slice(options) {
        check_numbers(schemars::schema_for!(S::Options).as_value(), &given)?;
    }
    let mut reader = serde_json::Deserializer::from_slice(options);
    let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| unreadable_option(&error))?;
    reader.end().map_err(|error| PluginError::options(error.to_string()))?;
    S::new(parsed)
}

/// Names the option: `serde_json` alone tells a column of text that no person wrote.
fn unreadable_option(error: &serde_path_to_error::Error<serde_json::Error>) -> PluginError {
    let text = error.inner().to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    let path = error.path().to_string();
    PluginError::options(if path == "." { reason.into() } else { format!("{path}: {reason}") })
}

macro_rules! entry {
    ($(#[$doc:meta])* $function:ident, $kind:ident, $bound:ident) => {
        $(#[$doc])*
        #[must_use]
        pub fn $function<S: Strategy + $bound + 'static>(name: &str, about: &str) -> Self {
            let options = schemars::schema_for!(S::Options).to_value();
            Self {
                record: StrategyRecord {
                    name: name.into(),
                    kind: StrategyKind::$kind,
                    about: about.into(),
                    options,
                    requires: S::requires(),
                    declares: S::declares(),
                },
                create: |options| Ok(AnyStrategy::$kind(Box::new(strategy_from_json::<S>(options)?))),
            }
        }
    };
}

impl StrategyEntry {
    entry!(
        /// An importance estimator.
        importance, Importance, ImportanceEstimator
    );
    entry!(
        /// A layer replacer.
        replace, Replace, LayerReplacer
    );
    entry!(
        /// A compressor.
        compress, Compress, Compressor
    );
    entry!(
        /// An adapter.
        adapter, Adapter, Adapter
    );
}
