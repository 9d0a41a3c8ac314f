//! Block influence: `BI_i = 1 - E_t [ x_i^T x_{i+1} / (||x_i|| ||x_{i+1}||) ]`, `x_i` the state before layer `i`, `x_{i+1}` after it
//! (ShortGPT, equation 1). A layer that hardly turns the stream can be spared. One forward pass a batch; `E_t` is the mean over
//! tokens of held-out batches.

use scaleot_plugin_api::{Host, LayerStatistic, Measure, PluginError};
use schemars::JsonSchema;
use serde::Deserialize;

/// The turn that each layer gives its input; its fields are the options of `shortgpt/block-influence`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BlockInfluence {
    /// Held-out batches that the mean is taken over (the paper calibrates on a public corpus and names no count).
    #[schemars(range(min = 1, max = 100_000))]
    pub batches: u32,
}

impl Default for BlockInfluence {
    fn default() -> Self {
        Self { batches: 8 }
    }
}

impl Measure for BlockInfluence {
    fn batches(&self) -> u32 {
        self.batches
    }

    fn measure(&self, host: &mut Host) -> Result<Vec<f64>, PluginError> {
        let cosines = host.layer_statistics(LayerStatistic::InputOutputCosine)?;
        Ok(cosines.into_iter().map(|cosine| 1.0 - cosine).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scaleot_plugin_api::services;
    use scaleot_plugin_api::{BatchMeanEstimator, ImportanceEstimator, Strategy};
    use scaleot_plugin_conformance::FakeHost;

    /// The fake host's cosine is `1 / (1 + cost)`: costs 0, 1/3, 1 and 3 give cosines 1, 3/4, 1/2 and 1/4.
    #[test]
    fn one_minus_the_cosine() {
        let mut fake = FakeHost::toy(4, 8).with_layer_costs(&[0.0, 1.0 / 3.0, 1.0, 3.0]);
        let mut estimator = BatchMeanEstimator::new(BlockInfluence { batches: 3 }).unwrap();
        assert_eq!(estimator.estimate(&mut fake.host()).unwrap().scores, [0.0, 0.25, 0.5, 0.75]);
        assert_eq!(fake.requests::<services::LayerStatistics>(), 3);
    }
}
