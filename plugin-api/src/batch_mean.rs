//! The mean of per-layer numbers over held-out batches, continued from a checkpoint; and estimators that are such a mean.

use crate::checkpoint::Checkpoint;
use crate::error::PluginError;
use crate::host::Host;
use crate::importance::ImportanceEstimator;
use crate::importance_scores::ImportanceScores;
use crate::requirement::{Need, Requirement};
use crate::strategy::Strategy;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The sums so far, which are all that such a mean keeps of itself.
///
/// ```
/// use scaleot_plugin_api::{BatchMean, LayerStatistic, PluginError};
/// use scaleot_plugin_conformance::FakeHost;
/// let mut fake = FakeHost::toy(2, 8).with_layer_costs(&[1.0, 3.0]);
/// let mut mean = BatchMean::default();
/// let first_order = |host: &mut scaleot_plugin_api::Host| host.layer_statistics(LayerStatistic::TaylorImportance);
/// assert_eq!(mean.over(4, &mut fake.host(), first_order)?, [1.0, 3.0]);
/// assert_eq!(fake.checkpoints().len(), 4);
/// # Ok::<(), PluginError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchMean {
    batches: u32,
    sums: Vec<f64>,
}

impl BatchMean {
    /// The mean of what `measure` gives for each of `batches` batches, one number per layer. After each, the mean so far is
    /// recorded as `scores`, and the work can continue from there.
    ///
    /// # Errors
    /// Those of `measure` and of the host.
    pub fn over(
        &mut self,
        batches: u32,
        host: &mut Host,
        mut measure: impl FnMut(&mut Host) -> Result<Vec<f64>, PluginError>,
    ) -> Result<Vec<f64>, PluginError> {
        while self.batches < batches {
            let numbers = measure(host)?;
            self.sums.resize(numbers.len(), 0.0);
            self.sums.iter_mut().zip(&numbers).for_each(|(sum, number)| *sum += number);
            self.batches += 1;
            host.record("scores", self.batches.into(), &self.mean())?;
            host.progress(self.batches.into(), batches.into(), self)?;
        }
        Ok(self.mean())
    }

    fn mean(&self) -> Vec<f64> {
        self.sums.iter().map(|sum| sum / f64::from(self.batches.max(1))).collect()
    }
}

impl Checkpoint for BatchMean {
    fn save(&self) -> Result<Vec<u8>, PluginError> {
        Ok(serde_json::to_vec(self)?)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), PluginError> {
        *self = serde_json::from_slice(state)?;
        Ok(())
    }
}

/// A number for each layer, measured on one batch after another; the options of the estimator that it makes.
///
/// ```
/// use scaleot_plugin_api::{
///     BatchMeanEstimator, Host, LayerStatistic, Measure, PluginError, export_plugin, strategy_from_json,
/// };
///
/// /// Block influence (ShortGPT): how far a layer turns its input.
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields, default)]
/// pub struct BlockInfluence {
///     /// Held-out batches that the mean is taken over.
///     #[schemars(range(min = 1))]
///     pub batches: u32,
/// }
/// impl Default for BlockInfluence {
///     fn default() -> Self { Self { batches: 8 } }
/// }
/// impl Measure for BlockInfluence {
///     fn batches(&self) -> u32 { self.batches }
///     fn measure(&self, host: &mut Host) -> Result<Vec<f64>, PluginError> {
///         let cosines = host.layer_statistics(LayerStatistic::InputOutputCosine)?;
///         Ok(cosines.into_iter().map(|cosine| 1.0 - cosine).collect())
///     }
/// }
///
/// export_plugin! {
///     name: "example",
///     about: "One estimator.",
///     built_in,
///     strategies: { "block-influence": importance BatchMeanEstimator<BlockInfluence>, "One minus the cosine." }
/// }
///
/// use scaleot_plugin_api::{ImportanceEstimator};
/// use scaleot_plugin_conformance::FakeHost;
/// // The fake host's cosine is `1 / (1 + cost)`.
/// let mut fake = FakeHost::toy(2, 8).with_layer_costs(&[0.0, 1.0]);
/// let mut estimator: BatchMeanEstimator<BlockInfluence> = strategy_from_json(b"{}")?;
/// assert_eq!(estimator.estimate(&mut fake.host())?.scores, [0.0, 0.5]);
/// # Ok::<(), PluginError>(())
/// ```
pub trait Measure: DeserializeOwned + JsonSchema {
    /// Held-out batches that the mean is taken over.
    fn batches(&self) -> u32;

    /// One number per layer, larger = keep; each call brings its own batch.
    ///
    /// # Errors
    /// Any [`PluginError`]; those of the host pass through with `?`.
    fn measure(&self, host: &mut Host) -> Result<Vec<f64>, PluginError>;

    /// Needs of the estimator. Default: public text, which held-out batches come from.
    #[must_use]
    fn requires() -> Vec<Requirement> {
        vec![Requirement::always(Need::PublicText)]
    }
}

/// The importance estimator whose scores are the mean of a [`Measure`]; it continues after the last batch that was measured.
pub struct BatchMeanEstimator<M> {
    measure: M,
    mean: BatchMean,
}

impl<M: Measure> Strategy for BatchMeanEstimator<M> {
    type Options = M;
    fn new(options: M) -> Result<Self, PluginError> {
        Ok(Self { measure: options, mean: BatchMean::default() })
    }

    fn requires() -> Vec<Requirement> {
        M::requires()
    }
}

impl<M: Measure> ImportanceEstimator for BatchMeanEstimator<M> {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        let Self { measure, mean } = self;
        let scores = mean.over(measure.batches(), host, |host| measure.measure(host))?;
        Ok(ImportanceScores { scores: scores.into_iter().map(|score| score as f32).collect() })
    }
}

impl<M> Checkpoint for BatchMeanEstimator<M> {
    fn save(&self) -> Result<Vec<u8>, PluginError> {
        self.mean.save()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), PluginError> {
        self.mean.restore(state)
    }
}
