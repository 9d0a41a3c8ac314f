//! The mean of per-layer numbers over held-out batches, continued from a checkpoint: what most estimators are.

use crate::error::PluginError;
use crate::host::Host;
use serde::{Deserialize, Serialize};

/// Sums so far; as JSON it is an estimator's whole state.
///
/// ```
/// use scaleot_plugin_api::{BatchMean, LayerStatistic, PluginError, conformance::FakeHost};
/// let mut fake = FakeHost::toy(2, 8).with_layer_costs(&[1.0, 3.0]);
/// let mut mean = BatchMean::default();
/// let changes = |host: &mut scaleot_plugin_api::Host| host.layer_statistics(LayerStatistic::RelativeChange);
/// assert_eq!(mean.over(4, &mut fake.host(), changes)?, [1.0, 3.0]);
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
    /// What `measure` or the host returned.
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
            host.checkpoint(&self.save()?)?;
            host.progress(self.batches.into(), batches.into())?;
        }
        Ok(self.mean())
    }

    fn mean(&self) -> Vec<f64> {
        self.sums.iter().map(|sum| sum / f64::from(self.batches.max(1))).collect()
    }

    /// The state.
    ///
    /// # Errors
    /// `Failed` when it cannot be written.
    pub fn save(&self) -> Result<Vec<u8>, PluginError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// A state again.
    ///
    /// # Errors
    /// `Failed` when the bytes are none.
    pub fn restored(state: &[u8]) -> Result<Self, PluginError> {
        Ok(serde_json::from_slice(state)?)
    }
}
