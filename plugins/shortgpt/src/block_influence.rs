//! Block influence: `BI_i = 1 - E_t [ x_i^T x_{i+1} / (||x_i|| ||x_{i+1}||) ]`, `x_i` the state before layer `i`, `x_{i+1}` after it
//! (ShortGPT, equation 1). A layer that hardly turns the stream can be spared. One forward pass a batch; `E_t` is the mean over
//! tokens of held-out batches.

use scaleot_plugin_api::{
    BatchMean, Host, ImportanceEstimator, ImportanceScores, LayerStatistic, Need, PluginError, Requirement, Strategy,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `shortgpt/block-influence`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BlockInfluenceOptions {
    /// Held-out batches that the mean is taken over (the paper calibrates on a public corpus and names no count).
    #[schemars(range(min = 1, max = 100_000))]
    pub batches: u32,
}

impl Default for BlockInfluenceOptions {
    fn default() -> Self {
        Self { batches: 8 }
    }
}

/// How far each layer turns its input.
pub struct BlockInfluence {
    options: BlockInfluenceOptions,
    mean: BatchMean,
}

impl Strategy for BlockInfluence {
    type Options = BlockInfluenceOptions;
    fn new(options: BlockInfluenceOptions) -> Result<Self, PluginError> {
        Ok(Self { options, mean: BatchMean::default() })
    }

    fn requires() -> Vec<Requirement> {
        vec![Requirement::always(Need::PublicText)]
    }
}

impl ImportanceEstimator for BlockInfluence {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        let influence = |host: &mut Host| {
            let cosines = host.layer_statistics(LayerStatistic::InputOutputCosine)?;
            Ok(cosines.into_iter().map(|cosine| 1.0 - cosine).collect())
        };
        let scores = self.mean.over(self.options.batches, host, influence)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use scaleot_plugin_api::conformance::FakeHost;

    /// The fake host's cosine is `1 / (1 + cost)`: costs 0, 1/3, 1 and 3 give cosines 1, 3/4, 1/2 and 1/4.
    #[test]
    fn one_minus_the_cosine() {
        let mut fake = FakeHost::toy(4, 8).with_layer_costs(&[0.0, 1.0 / 3.0, 1.0, 3.0]);
        let mut estimator = BlockInfluence::new(BlockInfluenceOptions { batches: 3 }).unwrap();
        assert_eq!(estimator.estimate(&mut fake.host()).unwrap().scores, [0.0, 0.25, 0.5, 0.75]);
        assert_eq!(fake.requests("layer_statistics"), 3);
    }
}
