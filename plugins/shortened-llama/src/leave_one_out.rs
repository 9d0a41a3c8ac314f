//! Leave-one-out: `s_i = mean over batches of L(all but i) - L(all)`, in nats per token; one mask per layer.
//!
//! The paper drops the layer; here its substitute runs, whatever the replacer installed, so the score is the cost of the
//! replacement itself. Layers share their common prefix, so `n` masks cost about `n / 2` forward passes a batch.

use scaleot_plugin_api::{Host, LayerMask, Measure, PluginError};
use schemars::JsonSchema;
use serde::Deserialize;

/// The cost of each layer alone; its fields are the options of `shortened-llama/leave-one-out`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LeaveOneOut {
    /// Held-out batches that the loss is averaged over (the paper: 10 samples of 128 tokens).
    #[schemars(range(min = 1, max = 100_000))]
    pub batches: u32,
}

impl Default for LeaveOneOut {
    fn default() -> Self {
        Self { batches: 8 }
    }
}

impl Measure for LeaveOneOut {
    fn batches(&self) -> u32 {
        self.batches
    }

    fn measure(&self, host: &mut Host) -> Result<Vec<f64>, PluginError> {
        let n_layers = host.outline()?.n_layers();
        let full = LayerMask::all_original(n_layers);
        let mut masks: Vec<LayerMask> = (0..n_layers).map(|layer| full.clone().with_replaced(&[layer])).collect();
        masks.push(full);
        let mut losses = host.losses(&masks)?;
        let whole = losses.pop().unwrap_or(0.0);
        Ok(losses.into_iter().map(|loss| loss - whole).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scaleot_plugin_api::{BatchMeanEstimator, ImportanceEstimator, Strategy};
    use scaleot_plugin_conformance::FakeHost;

    #[test]
    fn scores_are_the_costs_of_the_layers() {
        let costs = [0.25, 0.5, -0.125, 1.0, 0.0];
        let mut fake = FakeHost::toy(5, 8).with_layer_costs(&costs);
        let mut estimator = BatchMeanEstimator::new(LeaveOneOut { batches: 3 }).unwrap();
        let found = estimator.estimate(&mut fake.host()).unwrap().scores;
        for (found, expected) in found.iter().zip(costs) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
