//! Random importance: `s_i ~ U(0, 1)` from a seed. The control that says what an order is worth.

use scaleot_plugin_api::{Checkpoint, Host, ImportanceEstimator, ImportanceScores, PluginError, Strategy};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `offsite-tuning/random`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RandomOptions {
    /// Number of the random order; the run's seed counts too.
    pub order: u64,
}

/// A random order of the layers.
pub struct Random {
    options: RandomOptions,
}

impl Strategy for Random {
    type Options = RandomOptions;
    fn new(options: RandomOptions) -> Result<Self, PluginError> {
        Ok(Self { options })
    }
}

impl ImportanceEstimator for Random {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        let n_layers = host.outline()?.n_layers();
        let seed = host.seed(&format!("random order {}", self.options.order))?;
        let draws = host.random_uniform(&[n_layers], 0.5, seed)?;
        let scores = host.view_f32(&draws, |values| values.iter().map(|value| value + 0.5).collect())?;
        Ok(ImportanceScores::new(scores))
    }
}

impl Checkpoint for Random {}
