//! Strategies by name: what a plugin says of each, how one is made from its options, and how a call reaches its trait.

use crate::adapter::{Adapter, AdapterModule, Tuner};
use crate::checkpoint::Checkpoint;
use crate::compress::{CompressionReport, Compressor, LayerWeights, WeightForm};
use crate::declaration::Declaration;
use crate::error::{ErrorCode, PluginError};
use crate::host::Host;
use crate::importance::{ImportanceEstimator, ImportanceScores};
use crate::module::Substitute;
use crate::outline::{LayerOutline, WeightRole};
use crate::plan::ReplaceRequest;
use crate::replace::LayerReplacer;
use crate::requirement::Requirement;
use crate::schema::check_numbers;
use crate::services::HostServices;
use crate::tensor::{Handle, Tensor};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// How the host makes a strategy: options in, strategy out.
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

    /// What a run must have for this strategy. Default: nothing.
    #[must_use]
    fn requires() -> Vec<Requirement> {
        Vec::new()
    }

    /// Declarations that set it apart from others of its kind, such as a replacer whose choice reads no scores. Default: nothing;
    /// since API 1.3.
    #[must_use]
    fn declares() -> Vec<Declaration> {
        Vec::new()
    }
}

/// The four kinds of strategy, each with its section of the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrategyKind {
    /// [`ImportanceEstimator`].
    Importance,
    /// [`LayerReplacer`].
    Replace,
    /// [`Compressor`].
    Compress,
    /// [`Adapter`].
    Adapter,
}

impl std::fmt::Display for StrategyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl StrategyKind {
    /// The config section, and the word in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Importance => "importance",
            Self::Replace => "replace",
            Self::Compress => "compress",
            Self::Adapter => "adapter",
        }
    }
}

/// What a plugin says of one strategy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StrategyRecord {
    /// Its name inside the plugin, as in `use = "plugin/strategy"`.
    pub name: String,
    /// Which trait it implements.
    pub kind: StrategyKind,
    /// One sentence.
    pub about: String,
    /// JSON Schema of its options.
    pub options: serde_json::Value,
    /// What a run must have for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
    /// Declarations that set it apart from others of its kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declares: Vec<Declaration>,
}

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginRecord {
    /// Its name, as in `use = "plugin/strategy"`.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// The version of the contract that it was built with.
    pub api_version: String,
    /// One sentence.
    pub about: String,
    /// The libtorch that it was built for, `major.minor`, if it shares the host's (the feature `tch`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libtorch: Option<String>,
    /// Its strategies.
    pub strategies: Vec<StrategyRecord>,
}

impl PluginRecord {
    /// The record of a plugin with these strategies.
    #[must_use]
    pub fn new(name: &str, version: &str, about: &str, entries: &[StrategyEntry]) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            api_version: crate::export::API_VERSION.into(),
            about: about.into(),
            libtorch: crate::torch::built_for(),
            strategies: entries.iter().map(|entry| entry.record.clone()).collect(),
        }
    }
}

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
pub struct StrategyEntry {
    /// What is said of it.
    pub record: StrategyRecord,
    /// Makes one from its options as JSON.
    pub create: fn(&[u8]) -> Result<AnyStrategy, PluginError>,
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

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Methods by number. Numbers are part of the contract: never reused, only added.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Method { $($(#[$doc])* $name = $code,)* }

        impl Method {
            /// The method of a number.
            ///
            /// # Errors
            /// `Unsupported` for a number that this version of the contract does not have.
            pub fn from_code(code: u32) -> Result<Self, PluginError> {
                match code {
                    $($code => Ok(Self::$name),)*
                    _ => Err(PluginError::unsupported(format!("this plugin has no method {code}"))
                        .with_help("the host is newer than the plugin: rebuild the plugin")),
                }
            }
        }
    };
}

methods! {
    /// [`ImportanceEstimator::estimate`].
    Estimate = 0,
    /// [`LayerReplacer::substitute`].
    Substitute = 1,
    /// [`LayerReplacer::select`].
    Select = 2,
    /// [`LayerReplacer::objective`].
    Objective = 3,
    /// [`Compressor::compress`].
    Compress = 4,
    /// [`Adapter::attach`].
    Attach = 5,
    /// [`Adapter::step`].
    Step = 6,
    /// [`Checkpoint::save`].
    Save = 7,
    /// [`Checkpoint::restore`].
    Restore = 8,
    /// [`LayerReplacer::prepare`].
    Prepare = 9,
}

/// The question of [`Method::Select`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SelectRequest {
    /// Scores of the importance stage.
    pub scores: ImportanceScores,
    /// What is to be chosen.
    pub ask: ReplaceRequest,
}

/// The question of [`Method::Compress`]: handles that the plugin owns from here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CompressRequest {
    /// The layer.
    pub outline: LayerOutline,
    /// Its weights.
    pub weights: Vec<(WeightRole, Handle)>,
}

/// The answer of [`Method::Compress`]: handles that the host owns from here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CompressAnswer {
    /// The weights that changed.
    pub changed: Vec<(WeightRole, WeightForm<Handle>)>,
    /// What became of them.
    pub report: CompressionReport,
}

/// Runs one method of a strategy: JSON in, JSON out; the state of `Save` and `Restore` is bytes of the strategy's own.
///
/// # Errors
/// What the strategy returned; `Unsupported` when the strategy is of another kind; `Numeric` for an answer that is not
/// finite, because JSON would carry it as `null`.
pub fn reply(
    strategy: &mut AnyStrategy,
    method: Method,
    request: &[u8],
    services: &mut dyn HostServices,
) -> Result<Vec<u8>, PluginError> {
    match (strategy, method) {
        (AnyStrategy::Importance(s), Method::Estimate) => {
            let scores = s.estimate(&mut Host::new(services))?;
            for (layer, &score) in scores.scores.iter().enumerate() {
                finite(f64::from(score), || format!("the importance score of layer {layer}"))?;
            }
            json(&scores)
        }
        (AnyStrategy::Replace(s), Method::Substitute) => {
            let layer: LayerOutline = serde_json::from_slice(request)?;
            let substitute = s.substitute(&layer, &mut Host::new(services))?;
            json(&substitute_handles(substitute))
        }
        (AnyStrategy::Replace(s), Method::Select) => {
            let SelectRequest { scores, ask } = serde_json::from_slice(request)?;
            json(&s.select(&scores, &ask)?)
        }
        (AnyStrategy::Replace(s), Method::Prepare) => json(&s.prepare(&mut Host::new(services))?),
        (AnyStrategy::Replace(s), Method::Objective) => json(&s.objective()),
        (AnyStrategy::Compress(s), Method::Compress) => compress(s.as_mut(), request, services),
        (AnyStrategy::Adapter(s), Method::Attach) => {
            let module: AdapterModule = s.attach(&serde_json::from_slice(request)?)?;
            json(&module)
        }
        (AnyStrategy::Adapter(s), Method::Step) => {
            let report = s.step(&mut Tuner::new(&mut Host::new(services)))?;
            finite(report.loss, || "the loss of a tuning step".into())?;
            json(&report)
        }
        (strategy, method @ (Method::Save | Method::Restore)) => match (strategy.state(), method) {
            (Some(state), Method::Save) => state.save(),
            (Some(state), _) => state.restore(request).map(|()| Vec::new()),
            (None, method) => {
                Err(PluginError::unsupported(format!("{method:?} was asked of a strategy that keeps nothing")))
            }
        },
        (_, method) => Err(PluginError::unsupported(format!("{method:?} was asked of a strategy of another kind"))),
    }
}

impl AnyStrategy {
    /// The state of the kinds that a run can be stopped in.
    fn state(&mut self) -> Option<&mut dyn Checkpoint> {
        match self {
            Self::Importance(s) => Some(s.as_mut()),
            Self::Replace(s) => Some(s.as_mut()),
            Self::Adapter(s) => Some(s.as_mut()),
            Self::Compress(_) => None,
        }
    }
}

fn json<T: Serialize>(answer: &T) -> Result<Vec<u8>, PluginError> {
    Ok(serde_json::to_vec(answer)?)
}

fn finite(number: f64, what: impl FnOnce() -> String) -> Result<(), PluginError> {
    if number.is_finite() {
        return Ok(());
    }
    Err(PluginError::new(ErrorCode::Numeric, format!("{} is {number}", what())))
}

fn substitute_handles(substitute: Substitute) -> Substitute<Handle> {
    let Substitute { module, trainable } = substitute;
    let module = module.try_map::<_, std::convert::Infallible>(&mut |tensor| Ok(tensor.into_handle()));
    Substitute { module: module.unwrap_or_else(|never| match never {}), trainable }
}

fn compress(
    strategy: &mut dyn Compressor,
    request: &[u8],
    services: &mut dyn HostServices,
) -> Result<Vec<u8>, PluginError> {
    let CompressRequest { outline, weights } = serde_json::from_slice(request)?;
    let releaser = services.releaser();
    let weights = weights.into_iter().map(|(role, handle)| (role, Tensor::adopt(handle, Rc::clone(&releaser))));
    let mut layer = LayerWeights::new(outline, weights.collect());
    let report = strategy.compress(&mut layer, &mut Host::new(services))?;
    for matrix in &report.matrices {
        finite(matrix.residual_energy, || format!("the residual energy of {}", matrix.role))?;
    }
    let changed = layer.into_changed().into_iter().map(|(role, form)| (role, form_handles(form))).collect();
    json(&CompressAnswer { changed, report })
}

fn form_handles(form: WeightForm) -> WeightForm<Handle> {
    match form {
        WeightForm::Dense { weight } => WeightForm::Dense { weight: weight.into_handle() },
        WeightForm::Factored { left, right } => {
            WeightForm::Factored { left: left.into_handle(), right: right.into_handle() }
        }
    }
}
