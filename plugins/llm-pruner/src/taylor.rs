//! First-order importance: `I_i = sum over the weights w of layer i of |w dL/dw|`, `L` the mean next-token loss, mean over batches
//! (LLM-Pruner, equation 4 without the term of second order, for whole layers as Shortened LLaMA's Taylor criterion; both take
//! the gradient summed over all samples before the absolute value). One backward pass a batch.

use scaleot_plugin_api::{Host, LayerStatistic, Measure, PluginError};
use schemars::JsonSchema;
use serde::Deserialize;

/// The first-order term of each layer; its fields are the options of `llm-pruner/taylor`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Taylor {
    /// Held-out batches that the mean is taken over (the paper: 10 sequences).
    #[schemars(range(min = 1, max = 100_000))]
    pub batches: u32,
}

impl Default for Taylor {
    fn default() -> Self {
        Self { batches: 10 }
    }
}

impl Measure for Taylor {
    fn batches(&self) -> u32 {
        self.batches
    }

    fn measure(&self, host: &mut Host) -> Result<Vec<f64>, PluginError> {
        host.layer_statistics(LayerStatistic::TaylorImportance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scaleot_plugin_api::{BatchMeanEstimator, Checkpoint, ImportanceEstimator, Strategy};
    use scaleot_plugin_conformance::FakeHost;

    /// The fake host's first-order term is the layer's cost.
    #[test]
    fn the_statistic_is_averaged_over_the_batches_and_resumes() {
        let mut fake = FakeHost::toy(3, 8).with_layer_costs(&[0.5, 0.25, 2.0]);
        let mut estimator = BatchMeanEstimator::new(Taylor { batches: 4 }).unwrap();
        assert_eq!(estimator.estimate(&mut fake.host()).unwrap().scores, [0.5, 0.25, 2.0]);
        let third = fake.checkpoints()[2].clone();
        let mut later = FakeHost::toy(3, 8).with_layer_costs(&[4.5, 0.25, 2.0]);
        let mut resumed = BatchMeanEstimator::new(Taylor { batches: 4 }).unwrap();
        resumed.restore(&third).unwrap();
        assert_eq!(resumed.estimate(&mut later.host()).unwrap().scores, [1.5, 0.25, 2.0], "(3 x 0.5 + 4.5) / 4");
    }
}
