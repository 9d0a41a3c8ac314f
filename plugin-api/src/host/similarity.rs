//! The similarity question of [`Host`]: the likeness of layers' outputs.

use super::Host;
use crate::error::PluginError;
use crate::services::OutputSimilarity;
use crate::services::similarity::SimilarityRequest;

impl Host<'_> {
    /// `[n, n]`, row by row: entry `(i, j)` is the linear CKA of the outputs of layers `i` and `j` of the full model.
    ///
    /// ```
    /// use scaleot_plugin_api::{PluginError, SimilarityRequest, TokenPooling};
    /// use scaleot_plugin_conformance::FakeHost;
    /// let mut fake = FakeHost::toy(3, 8).with_layer_costs(&[1.0, 0.01, 5.0]);
    /// let similar = fake.host().output_similarity(&SimilarityRequest::new(64, TokenPooling::Mean))?;
    /// assert!(similar[0][1] > 0.99, "the second layer changes little");
    /// assert!(similar[1][2] < 0.9, "the third one much");
    /// # Ok::<(), PluginError>(())
    /// ```
    ///
    /// # Errors
    /// `Host` without public text or with fewer than 2 samples, `Numeric` when a layer's outputs are all the same.
    pub fn output_similarity(&mut self, request: &SimilarityRequest) -> Result<Vec<Vec<f64>>, PluginError> {
        self.ask::<OutputSimilarity>(request)
    }
}
