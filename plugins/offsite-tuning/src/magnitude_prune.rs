//! Magnitude pruning: per matrix, the `share` of the weights that are smallest in magnitude becomes 0 (Offsite-Tuning's alternative
//! emulator; its code takes one threshold a tensor and skips vectors, as here). The bundle does not get smaller: zeros are stored.

use scaleot_plugin_api::{CompressionReport, Compressor, Host, LayerWeights, PluginError, Strategy, prune_smallest};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `offsite-tuning/magnitude-prune`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MagnitudePruneOptions {
    /// Share of every matrix's weights that becomes 0 (the paper's emulator of this kind keeps half).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: f64,
}

impl Default for MagnitudePruneOptions {
    fn default() -> Self {
        Self { share: 0.5 }
    }
}

/// Zeros in place of the smallest weights.
pub struct MagnitudePrune {
    options: MagnitudePruneOptions,
}

impl Strategy for MagnitudePrune {
    type Options = MagnitudePruneOptions;
    fn new(options: MagnitudePruneOptions) -> Result<Self, PluginError> {
        Ok(Self { options })
    }
}

impl Compressor for MagnitudePrune {
    fn compress(&mut self, layer: &mut LayerWeights, host: &mut Host) -> Result<CompressionReport, PluginError> {
        let share = self.options.share;
        let roles = layer.roles().into_iter().filter(|role| role.is_matrix());
        let matrices = roles.map(|role| layer.change_values(role, host, |values, _| prune_smallest(values, share)));
        Ok(CompressionReport::new(matrices.collect::<Result<_, _>>()?))
    }
}
