//! First-order importance: `I_i = sum over the weights w of layer i of |w dL/dw|`, `L` the mean next-token loss, mean over batches
//! (LLM-Pruner, equation 4 without the term of second order, for whole layers as Shortened LLaMA's Taylor criterion; both take
//! the gradient summed over all samples before the absolute value). One backward pass a batch.

use scaleot_plugin_api::{
    BatchMean, Host, ImportanceEstimator, ImportanceScores, LayerStatistic, Need, PluginError, Requirement, Strategy,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `llm-pruner/taylor`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TaylorOptions {
    /// Held-out batches that the mean is taken over (the paper: 10 sequences).
    #[schemars(range(min = 1, max = 100_000))]
    pub batches: u32,
}

impl Default for TaylorOptions {
    fn default() -> Self {
        Self { batches: 10 }
    }
}

/// What the loss loses, to first order, with each layer's weights.
pub struct Taylor {
    options: TaylorOptions,
    mean: BatchMean,
}

impl Strategy for Taylor {
    type Options = TaylorOptions;
    fn new(options: TaylorOptions) -> Result<Self, PluginError> {
        Ok(Self { options, mean: BatchMean::default() })
    }

    fn requires() -> Vec<Requirement> {
        vec![Requirement::always(Need::PublicText)]
    }
}

impl ImportanceEstimator for Taylor {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        let first_order = |host: &mut Host| host.layer_statistics(LayerStatistic::TaylorImportance);
        let scores = self.mean.over(self.options.batches, host, first_order)?;
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

    /// The fake host's first-order term is the layer's cost.
    #[test]
    fn the_statistic_is_averaged_over_the_batches_and_resumes() {
        let mut fake = FakeHost::toy(3, 8).with_layer_costs(&[0.5, 0.25, 2.0]);
        let mut estimator = Taylor::new(TaylorOptions { batches: 4 }).unwrap();
        assert_eq!(estimator.estimate(&mut fake.host()).unwrap().scores, [0.5, 0.25, 2.0]);
        let third = fake.checkpoints()[2].clone();
        let mut later = FakeHost::toy(3, 8).with_layer_costs(&[4.5, 0.25, 2.0]);
        let mut resumed = Taylor::new(TaylorOptions { batches: 4 }).unwrap();
        resumed.restore(&third).unwrap();
        assert_eq!(resumed.estimate(&mut later.host()).unwrap().scores, [1.5, 0.25, 2.0], "(3 x 0.5 + 4.5) / 4");
    }
}
