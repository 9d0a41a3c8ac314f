//! Fake quantisation: every weight becomes the nearest of `2^bits - 1` steps about 0 and stays a float (Offsite-Tuning's alternative
//! emulator). A step is `max |w| / (2^(bits-1) - 1)` over a row or the tensor; the paper's code is affine, with `2^bits - 1` steps
//! from the least to the largest weight of the tensor.

use scaleot_plugin_api::{CompressionReport, Compressor, Host, LayerWeights, PluginError, Strategy, round_to_bits};
use schemars::JsonSchema;
use serde::Deserialize;

/// The values that share one step size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// A row, that is one output.
    Row,
    /// The whole matrix.
    Tensor,
}

/// Options of `offsite-tuning/fake-quantise`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FakeQuantiseOptions {
    /// Bits of one weight (4: usual for weights alone; the paper's code takes any number).
    #[schemars(range(min = 2, max = 16))]
    pub bits: u32,
    /// The values that share one step size.
    pub scale: Scale,
}

impl Default for FakeQuantiseOptions {
    fn default() -> Self {
        Self { bits: 4, scale: Scale::Row }
    }
}

/// Weights on few levels.
pub struct FakeQuantise {
    options: FakeQuantiseOptions,
}

impl Strategy for FakeQuantise {
    type Options = FakeQuantiseOptions;
    fn new(options: FakeQuantiseOptions) -> Result<Self, PluginError> {
        Ok(Self { options })
    }
}

impl Compressor for FakeQuantise {
    fn compress(&mut self, layer: &mut LayerWeights, host: &mut Host) -> Result<CompressionReport, PluginError> {
        let FakeQuantiseOptions { bits, scale } = self.options;
        let round = |values: &mut [f32], row: usize| {
            let group = if scale == Scale::Row { row } else { values.len() };
            round_to_bits(values, group, bits);
        };
        let roles = layer.roles().into_iter().filter(|role| role.is_matrix());
        let matrices = roles.map(|role| layer.change_values(role, host, round));
        Ok(CompressionReport::new(matrices.collect::<Result<_, _>>()?))
    }
}
