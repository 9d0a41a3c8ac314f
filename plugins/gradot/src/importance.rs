//! The score of leaving all matrices of a layer out, as its importance: `sum over W of ||G W A||_1 + lambda <D, W>`.
//!
//! A first-order reading of the paper's score for whole layers; components are taken to be independent, as there.

use crate::score::matrix_score;
use scaleot_plugin_api::{
    Checkpoint, CurvatureRequest, Host, ImportanceEstimator, ImportanceScores, Need, PluginError, Requirement,
    Strategy, WeightRole,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `gradot/layer-score`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LayerScoreOptions {
    /// Weight of a higher loss against kept gradients (unknown in the paper).
    #[schemars(range(min = 0.0, max = 1e9))]
    pub lambda: f64,
    /// Public windows that gradients and factors are taken over (unknown in the paper; 64 to 128 sequences suffice).
    #[schemars(range(min = 1, max = 100_000))]
    pub windows: u32,
}

impl Default for LayerScoreOptions {
    fn default() -> Self {
        Self { lambda: 1.0, windows: 64 }
    }
}

/// The loss of gradients without each layer.
pub struct LayerScore {
    options: LayerScoreOptions,
    /// Scores of the layers that are done.
    scores: Vec<f32>,
}

impl Strategy for LayerScore {
    type Options = LayerScoreOptions;
    fn new(options: LayerScoreOptions) -> Result<Self, PluginError> {
        Ok(Self { options, scores: Vec::new() })
    }

    fn requires() -> Vec<Requirement> {
        vec![Requirement::always(Need::PublicText)]
    }
}

impl ImportanceEstimator for LayerScore {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        let LayerScoreOptions { lambda, windows } = self.options;
        let n_layers = host.outline()?.n_layers();
        let matrices: Vec<WeightRole> = WeightRole::ALL.into_iter().filter(|role| role.is_matrix()).collect();
        while self.scores.len() < n_layers {
            let layer = self.scores.len();
            let weights = host.layer_weights(layer, &matrices)?;
            let mut sum = 0.0;
            for (role, curvature) in host.layer_curvature(&CurvatureRequest::new(layer, windows))? {
                if let Some((_, weight)) = weights.iter().find(|(own, _)| *own == role) {
                    sum += matrix_score(weight, &curvature, lambda, host)?;
                }
            }
            self.scores.push(sum as f32);
            host.progress(layer as u64 + 1, n_layers as u64, self)?;
        }
        Ok(ImportanceScores::new(self.scores.clone()))
    }
}

impl Checkpoint for LayerScore {
    fn save(&self) -> Result<Vec<u8>, PluginError> {
        Ok(serde_json::to_vec(&self.scores)?)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), PluginError> {
        self.scores = serde_json::from_slice(state)?;
        Ok(())
    }
}
