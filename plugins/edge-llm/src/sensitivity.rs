//! Sensitivity: `s_i = mean over ratios p of mean((y'_i(p) - y_i)^2)`, `y_i` the output of layer `i` on its own input and `y'_i(p)` that
//! of the layer with the `p` smallest weights of every matrix at 0; `p` in {0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9} (the published
//! code). Each batch costs seven forward passes and as many prunings.

use scaleot_plugin_api::{
    BatchMean, Host, ImportanceEstimator, ImportanceScores, LayerStatistic, Need, PluginError, Requirement, Strategy,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Trial shares of pruned weights, in hundredths.
const TRIAL_PERCENTS: [u8; 7] = [5, 10, 20, 30, 50, 70, 90];
/// Trial widths of a weight.
const TRIAL_BITS: [u8; 3] = [2, 4, 8];

/// Options of `edge-llm/sensitivity`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SensitivityOptions {
    /// Rounds over the trial ratios, each on held-out batches of its own (the paper: 10 samples).
    #[schemars(range(min = 1, max = 100_000))]
    pub batches: u32,
}

impl Default for SensitivityOptions {
    fn default() -> Self {
        Self { batches: 10 }
    }
}

/// How much each layer's output suffers from pruning.
pub struct Sensitivity {
    options: SensitivityOptions,
    mean: BatchMean,
}

impl Strategy for Sensitivity {
    type Options = SensitivityOptions;
    fn new(options: SensitivityOptions) -> Result<Self, PluginError> {
        Ok(Self { options, mean: BatchMean::default() })
    }

    fn requires() -> Vec<Requirement> {
        vec![Requirement::always(Need::PublicText)]
    }
}

impl ImportanceEstimator for Sensitivity {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        let scores = self.mean.over(self.options.batches, host, to_pruning)?;
        Ok(ImportanceScores { scores: scores.into_iter().map(|score| score as f32).collect() })
    }

    fn save(&self) -> Result<Vec<u8>, PluginError> {
        self.mean.save()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), PluginError> {
        self.mean = BatchMean::restored(state)?;
        Ok(())
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
    use scaleot_plugin_api::conformance::FakeHost;

    /// The fake host's error is `(cost p)^2`: the mean of `p^2` over the seven ratios is 1.6925 / 7.
    #[test]
    fn the_mean_over_the_trial_ratios() {
        let mut fake = FakeHost::toy(3, 8).with_layer_costs(&[1.0, 0.0, 2.0]);
        let mut estimator = Sensitivity::new(SensitivityOptions { batches: 2 }).unwrap();
        let found = estimator.estimate(&mut fake.host()).unwrap().scores;
        let mean = 1.6925 / 7.0;
        assert!(found.iter().zip([mean, 0.0, 4.0 * mean]).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        assert_eq!(fake.requests("layer_statistics"), 14);
    }
}
