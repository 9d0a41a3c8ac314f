//! my-plugin: a layer's importance is the loss increase when it alone is replaced, mean over held-out batches.

use scaleot_plugin_api::{
    BatchMeanEstimator, Host, LayerMask, Measure, PluginError, export_plugin,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Probes each layer alone; its fields are the options of `my-plugin/probe`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Probe {
    /// Held-out batches that the mean is taken over.
    #[schemars(range(min = 1))]
    pub batches: u32,
}

impl Default for Probe {
    fn default() -> Self {
        Self { batches: 8 }
    }
}

impl Measure for Probe {
    fn batches(&self) -> u32 {
        self.batches
    }

    /// One number per layer, larger means keep.
    fn measure(&self, host: &mut Host) -> Result<Vec<f64>, PluginError> {
        let n_layers = host.outline()?.n_layers();
        let full = LayerMask::all_original(n_layers);
        let each = (0..n_layers).map(|layer| full.clone().with_replaced(&[layer]));
        let masks: Vec<LayerMask> = each.chain([full.clone()]).collect();
        // All mixtures on one batch; the next call brings the next batch.
        let mut losses = host.losses(&masks)?;
        let base = losses.pop().unwrap_or(0.0);
        Ok(losses.into_iter().map(|loss| loss - base).collect())
    }
}

export_plugin! {
    name: "my-plugin",
    about: "Importance of each layer by itself.",
    strategies: {
        "probe": importance BatchMeanEstimator<Probe>, "Loss increase when one layer alone is replaced.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scaleot_plugin_conformance::FakeHost;
    use scaleot_plugin_api::{ImportanceEstimator, Strategy};

    #[test]
    fn scores_are_the_costs_of_the_layers() {
        let mut fake = FakeHost::toy(3, 8).with_layer_costs(&[0.25, 1.0, 0.5]);
        let mut probe = BatchMeanEstimator::new(Probe::default()).expect("the defaults are good");
        let scores = probe
            .estimate(&mut fake.host())
            .expect("the fake host answers");
        assert_eq!(scores.ascending(), [0, 2, 1]);
    }
}
