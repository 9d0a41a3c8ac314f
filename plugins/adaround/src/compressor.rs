//! `adaround/learned-rounding`: the matrices of a layer, each with the second moments of its own inputs on public text.

use crate::rounding::{Descent, learned};
use scaleot_plugin_api::tch::Kind;
use scaleot_plugin_api::{
    CompressionReport, Compressor, Curvature, CurvatureRequest, Host, LayerWeights, MatrixReport, Need, PluginError,
    Requirement, Strategy, WeightForm, WeightRole,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `adaround/learned-rounding`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdaRoundOptions {
    /// Bits of one weight.
    #[schemars(range(min = 2, max = 16))]
    pub bits: u32,
    /// Steps of the descent on one matrix (the paper: 10,000 at a learning rate of 0.001).
    #[schemars(range(min = 1))]
    pub steps: u32,
    /// Adam's learning rate.
    #[schemars(range(min = 0))]
    pub learning_rate: f64,
    /// Weight of the term that makes every weight choose, beside the outputs' error in units of rounding to nearest.
    #[schemars(range(min = 0))]
    pub regularisation: f64,
    /// Public windows to measure the inputs on.
    #[schemars(range(min = 1))]
    pub windows: u32,
}

impl Default for AdaRoundOptions {
    fn default() -> Self {
        Self { bits: 4, steps: 200, learning_rate: 0.03, regularisation: 10.0, windows: 32 }
    }
}

/// Weights on few levels, each rounded to the side that the layer's outputs prefer.
pub struct AdaRound {
    options: AdaRoundOptions,
}

impl Strategy for AdaRound {
    type Options = AdaRoundOptions;

    fn new(options: AdaRoundOptions) -> Result<Self, PluginError> {
        Ok(Self { options })
    }

    fn requires() -> Vec<Requirement> {
        vec![Requirement::always(Need::PublicText)]
    }
}

impl AdaRound {
    fn round(
        &self,
        layer: &mut LayerWeights,
        role: WeightRole,
        curvature: Curvature,
        host: &mut Host,
    ) -> Result<Option<MatrixReport>, PluginError> {
        let Some(handle) = layer.get(role) else { return Ok(None) };
        let weight = host.to_tch(handle)?;
        let moments = host.to_tch(&curvature.input)?.to_kind(Kind::Float);
        let AdaRoundOptions { bits, steps, learning_rate, regularisation, .. } = self.options;
        let descent = Descent { steps, learning_rate, regularisation };
        let plain = weight.to_kind(Kind::Float);
        let rounded = learned(&plain, &moments, bits, descent)
            .map_err(|error| PluginError::failed(format!("{role} of layer {}: {error}", layer.outline().index)))?;
        let squares = |tensor: &scaleot_plugin_api::tch::Tensor| tensor.square().sum(Kind::Double).double_value(&[]);
        let (gone, all) = (squares(&(&rounded - &plain)), squares(&plain));
        let rank = usize::try_from(weight.size().into_iter().min().unwrap_or(0)).unwrap_or(0);
        let report = MatrixReport::new(role, rank, rank, if all > 0.0 { gone / all } else { 0.0 });
        if gone > 0.0 {
            let weight = host.from_tch(&rounded.to_kind(weight.kind()))?;
            layer.set(role, WeightForm::Dense { weight })?;
        }
        Ok(Some(report))
    }
}

impl Compressor for AdaRound {
    fn compress(&mut self, layer: &mut LayerWeights, host: &mut Host) -> Result<CompressionReport, PluginError> {
        let request = CurvatureRequest::new(layer.outline().index, self.options.windows);
        let mut report = CompressionReport::default();
        for (role, curvature) in host.layer_curvature(&request)? {
            report.matrices.extend(self.round(layer, role, curvature, host)?);
        }
        Ok(report)
    }
}
