//! The contribution of a layer, by the similarity of neighbours: `s_i = 1 - CKA(X_{i-1}, X_i)`, `X_i` the pooled outputs of layer `i`.
//!
//! CRaSh merges the adjacent pair of clusters with the highest CKA between the last layer of the left one and the first layer of
//! the right one. That is always a pair of neighbouring layers, so these `n` numbers decide every clustering. The first layer has
//! nothing before it to be like: `s_0 = 1`.

use scaleot_plugin_api::{
    Checkpoint, Host, ImportanceEstimator, ImportanceScores, Need, PluginError, Requirement, SimilarityRequest,
    Strategy, TokenPooling,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `crash/layer-similarity`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LayerSimilarityOptions {
    /// Held-out windows (the paper: 512 validation samples of the task, which the owner here does not have).
    #[schemars(range(min = 2, max = 100_000))]
    pub samples: u32,
    /// The weights of tokens when a window becomes one row; the published layer lists weigh tokens by position.
    pub pooling: TokenPooling,
}

impl Default for LayerSimilarityOptions {
    fn default() -> Self {
        Self { samples: 512, pooling: TokenPooling::Position }
    }
}

/// The difference of each layer's output from that of the layer before.
pub struct LayerSimilarity {
    options: LayerSimilarityOptions,
}

impl Strategy for LayerSimilarity {
    type Options = LayerSimilarityOptions;
    fn new(options: LayerSimilarityOptions) -> Result<Self, PluginError> {
        Ok(Self { options })
    }

    fn requires() -> Vec<Requirement> {
        vec![Requirement::always(Need::PublicText)]
    }
}

impl ImportanceEstimator for LayerSimilarity {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        let LayerSimilarityOptions { samples, pooling } = self.options;
        let similarity = host.output_similarity(&SimilarityRequest::new(samples, pooling))?;
        let before = |layer: usize| similarity.get(layer)?.get(layer.checked_sub(1)?).copied();
        let score = |layer: usize| before(layer).map_or(1.0, |alike| 1.0 - alike) as f32;
        Ok(ImportanceScores::new((0..similarity.len()).map(score).collect()))
    }
}

impl Checkpoint for LayerSimilarity {}

#[cfg(test)]
mod tests {
    use super::*;
    use scaleot_plugin_conformance::FakeHost;

    #[test]
    fn a_layer_scores_what_sets_it_apart_from_the_one_before() {
        let mut fake = FakeHost::toy(5, 8).with_layer_costs(&[0.5, 2.0, 0.01, 0.1, 1.0]);
        let options = LayerSimilarityOptions::default();
        let ask = SimilarityRequest::new(options.samples, options.pooling);
        let matrix = fake.host().output_similarity(&ask).unwrap();
        let found = LayerSimilarity::new(options).unwrap().estimate(&mut fake.host()).unwrap();
        assert_eq!(found.scores[0], 1.0);
        assert_eq!(found.scores[4], (1.0 - matrix[3][4]) as f32);
        assert_eq!(found.ascending(), [2, 3, 4, 1, 0], "in the order of what the layers change");
    }
}
