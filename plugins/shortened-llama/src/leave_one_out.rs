//! Leave-one-out: `s_i = mean over batches of L(all but i) - L(all)`, in nats per token; one mask per layer.
//!
//! The paper drops the layer; here its substitute runs, whatever the replacer installed, so the score is the cost of the
//! replacement itself. Layers share their common prefix, so `n` masks cost about `n / 2` forward passes a batch.

use scaleot_plugin_api::{
    BatchMean, Host, ImportanceEstimator, ImportanceScores, LayerMask, Need, PluginError, Requirement, Strategy,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `shortened-llama/leave-one-out`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LeaveOneOutOptions {
    /// Held-out batches that the loss is averaged over (the paper: 10 samples of 128 tokens).
    #[schemars(range(min = 1, max = 100_000))]
    pub batches: u32,
}

impl Default for LeaveOneOutOptions {
    fn default() -> Self {
        Self { batches: 8 }
    }
}

/// What each layer alone costs.
pub struct LeaveOneOut {
    options: LeaveOneOutOptions,
    mean: BatchMean,
}

impl Strategy for LeaveOneOut {
    type Options = LeaveOneOutOptions;
    fn new(options: LeaveOneOutOptions) -> Result<Self, PluginError> {
        Ok(Self { options, mean: BatchMean::default() })
    }

    fn requires() -> Vec<Requirement> {
        vec![Requirement::always(Need::PublicText)]
    }
}

impl ImportanceEstimator for LeaveOneOut {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        let n_layers = host.outline()?.n_layers();
        let full = LayerMask::all_original(n_layers);
        let mut masks: Vec<LayerMask> = (0..n_layers).map(|layer| full.clone().with_replaced(&[layer])).collect();
        masks.push(full);
        let costs = |host: &mut Host| {
            let mut losses = host.losses(&masks)?;
            let whole = losses.pop().unwrap_or(0.0);
            Ok(losses.into_iter().map(|loss| loss - whole).collect())
        };
        let scores = self.mean.over(self.options.batches, host, costs)?;
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

    #[test]
    fn scores_are_the_costs_of_the_layers() {
        let costs = [0.25, 0.5, -0.125, 1.0, 0.0];
        let mut fake = FakeHost::toy(5, 8).with_layer_costs(&costs);
        let mut estimator = LeaveOneOut::new(LeaveOneOutOptions { batches: 3 }).unwrap();
        let found = estimator.estimate(&mut fake.host()).unwrap().scores;
        for (found, expected) in found.iter().zip(costs) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
