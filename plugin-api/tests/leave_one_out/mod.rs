//! Leave-one-out importance: a layer's score is the loss increase when it alone is replaced, mean over held-out batches.

use scaleot_plugin_api::{
    Host, ImportanceEstimator, ImportanceScores, LayerMask, PluginError, Strategy, export_plugin,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `leave-one-out/probe`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeOptions {
    /// Held-out batches that the mean is taken over.
    #[schemars(range(min = 1))]
    pub batches: u32,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self { batches: 8 }
    }
}

/// Probes each layer alone.
pub struct Probe {
    options: ProbeOptions,
}

impl Strategy for Probe {
    type Options = ProbeOptions;
    fn new(options: ProbeOptions) -> Result<Self, PluginError> {
        Ok(Self { options })
    }
}

impl ImportanceEstimator for Probe {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        let n_layers = host.outline()?.n_layers();
        let full = LayerMask::all_original(n_layers);
        let each = (0..n_layers).map(|layer| full.clone().with_replaced(&[layer]));
        let masks: Vec<LayerMask> = each.chain([full.clone()]).collect();
        let mut sums = vec![0.0; n_layers];
        for batch in 0..self.options.batches {
            let losses = host.losses(&masks)?;
            let base = losses.last().copied().unwrap_or(0.0);
            sums.iter_mut().zip(&losses).for_each(|(sum, loss)| *sum += loss - base);
            host.progress(u64::from(batch + 1), u64::from(self.options.batches))?;
        }
        let mean = |sum: f64| (sum / f64::from(self.options.batches)) as f32;
        Ok(ImportanceScores { scores: sums.into_iter().map(mean).collect() })
    }
}

export_plugin! {
    name: "leave-one-out",
    about: "Importance of each layer by itself.",
    strategies: {
        "probe": importance Probe, "Loss increase when one layer alone is replaced.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scaleot_plugin_api::conformance::{FakeHost, check_plugin};

    #[test]
    fn conforms() {
        check_plugin(scaleot_root_module());
    }

    #[test]
    fn scores_are_the_costs_of_the_layers() {
        let mut fake = FakeHost::toy(3, 8).with_layer_costs(&[0.25, 1.0, 0.5]);
        let mut probe = Probe::new(ProbeOptions::default()).expect("the defaults are good");
        let scores = probe.estimate(&mut fake.host()).expect("the fake host answers");
        assert_eq!(scores.ascending(), [0, 2, 1]);
    }
}
