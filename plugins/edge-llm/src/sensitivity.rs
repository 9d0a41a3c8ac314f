//! Sensitivity: `s_i = mean over ratios p of mean((y'_i(p) - y_i)^2)`, `y_i` the output of layer `i` on its own input and `y'_i(p)` that
//! of the layer with the `p` smallest weights of every matrix at 0; `p` in {0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9} (the published
//! code). Each batch costs seven forward passes and as many prunings.

use scaleot_plugin_api::{Host, LayerStatistic, Measure, PluginError};
use schemars::JsonSchema;
use serde::Deserialize;

/// Trial shares of pruned weights, in hundredths.
const TRIAL_PERCENTS: [u8; 7] = [5, 10, 20, 30, 50, 70, 90];
/// Trial widths of a weight.
const TRIAL_BITS: [u8; 3] = [2, 4, 8];

/// The damage that pruning does to each layer's output; its fields are the options of `edge-llm/sensitivity`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sensitivity {
    /// Rounds over the trial ratios, each on held-out batches of its own (the paper: 10 samples).
    #[schemars(range(min = 1, max = 100_000))]
    pub batches: u32,
}

impl Default for Sensitivity {
    fn default() -> Self {
        Self { batches: 10 }
    }
}

impl Measure for Sensitivity {
    fn batches(&self) -> u32 {
        self.batches
    }

    fn measure(&self, host: &mut Host) -> Result<Vec<f64>, PluginError> {
        to_pruning(host)
    }
}

/// Per layer, the error of its output, mean over the trial ratios.
pub(crate) fn to_pruning(host: &mut Host) -> Result<Vec<f64>, PluginError> {
    mean_over(TRIAL_PERCENTS.map(|percent| LayerStatistic::PrunedOutputError { percent }), host)
}

/// The same over the trial widths.
pub(crate) fn to_rounding(host: &mut Host) -> Result<Vec<f64>, PluginError> {
    mean_over(TRIAL_BITS.map(|bits| LayerStatistic::RoundedOutputError { bits }), host)
}

fn mean_over<const N: usize>(trials: [LayerStatistic; N], host: &mut Host) -> Result<Vec<f64>, PluginError> {
    let mut sums = Vec::new();
    for trial in trials {
        let errors = host.layer_statistics(trial)?;
        sums.resize(errors.len(), 0.0);
        sums.iter_mut().zip(errors).for_each(|(sum, error)| *sum += error / N as f64);
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use scaleot_plugin_api::services;
    use scaleot_plugin_api::{BatchMeanEstimator, ImportanceEstimator, Strategy};
    use scaleot_plugin_conformance::FakeHost;

    /// The fake host's error is `(cost p)^2`: the mean of `p^2` over the seven ratios is 1.6925 / 7.
    #[test]
    fn the_mean_over_the_trial_ratios() {
        let mut fake = FakeHost::toy(3, 8).with_layer_costs(&[1.0, 0.0, 2.0]);
        let mut estimator = BatchMeanEstimator::new(Sensitivity { batches: 2 }).unwrap();
        let found = estimator.estimate(&mut fake.host()).unwrap().scores;
        let mean = 1.6925 / 7.0;
        assert!(found.iter().zip([mean, 0.0, 4.0 * mean]).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        assert_eq!(fake.requests::<services::LayerStatistics>(), 14);
    }
}
