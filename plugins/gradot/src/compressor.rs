//! Dynamic rank decomposition of attention, selective channel pruning of the feed-forward part, both by the gradient-preserving score.
//!
//! Attention: of `W = U diag(s) V^T` the `ceil(0.05 R)` largest components stay, then the lowest scores go until the two factors hold
//! the share `attention_ratio` of the values: `r = floor(ratio rows cols / (rows + cols))`. Feed-forward: channel `c` is row `c` of up
//! and gate and column `c` of down, scored together; the lowest `1 - mlp_ratio` of them become 0. The bundle stores feed-forward parts in
//! the model's own width, so channels shrink in value, not in bytes.

use crate::score::{channel_scores, component_scores};
use scaleot_plugin_api::{
    CompressionReport, Compressor, Curvature, CurvatureRequest, Host, LayerWeights, MatrixReport, Need, PluginError,
    Requirement, Strategy, Tensor, WeightForm, WeightRole,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Share of the largest components that always stay (the paper: 5%).
const ALWAYS_KEPT: f64 = 0.05;

/// Options of `gradot/gradient-preserving`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GradientPreservingOptions {
    /// Share of the attention's values that two factors keep; 1 leaves the attention whole (the paper: 0.6 or 0.7 of the model).
    #[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1.0))]
    pub attention_ratio: f64,
    /// Share of the feed-forward channels that stay; 1 leaves them whole.
    #[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1.0))]
    pub mlp_ratio: f64,
    /// Weight of a higher loss against kept gradients in attention (unknown in the paper, which has one for each part).
    #[schemars(range(min = 0.0, max = 1e9))]
    pub lambda_attention: f64,
    /// The same in the feed-forward part.
    #[schemars(range(min = 0.0, max = 1e9))]
    pub lambda_mlp: f64,
    /// Public windows that gradients and factors are taken over (unknown in the paper; 64 to 128 sequences suffice).
    #[schemars(range(min = 1, max = 100_000))]
    pub windows: u32,
}

impl Default for GradientPreservingOptions {
    fn default() -> Self {
        Self { attention_ratio: 0.6, mlp_ratio: 0.6, lambda_attention: 1.0, lambda_mlp: 1.0, windows: 64 }
    }
}

/// Compression by what adapter gradients need.
pub struct GradientPreserving {
    options: GradientPreservingOptions,
}

impl Strategy for GradientPreserving {
    type Options = GradientPreservingOptions;
    fn new(options: GradientPreservingOptions) -> Result<Self, PluginError> {
        Ok(Self { options })
    }

    fn requires() -> Vec<Requirement> {
        vec![Requirement::always(Need::PublicText)]
    }
}

impl Compressor for GradientPreserving {
    fn compress(&mut self, layer: &mut LayerWeights, host: &mut Host) -> Result<CompressionReport, PluginError> {
        let request = CurvatureRequest::new(layer.outline().index, self.options.windows);
        let around = host.layer_curvature(&request)?;
        let of_role = |role: WeightRole| around.iter().find(|(own, _)| *own == role).map(|(_, curvature)| curvature);
        let mut matrices = Vec::new();
        if self.options.attention_ratio < 1.0 {
            for role in WeightRole::ATTENTION {
                if let Some(curvature) = of_role(role) {
                    matrices.extend(self.decompose(role, curvature, layer, host)?);
                }
            }
        }
        if self.options.mlp_ratio < 1.0 {
            let parts: Vec<_> = WeightRole::MLP.into_iter().filter_map(|role| Some((role, of_role(role)?))).collect();
            matrices.append(&mut self.prune_channels(&parts, layer, host)?);
        }
        Ok(CompressionReport::new(matrices))
    }
}

impl GradientPreserving {
    /// Dynamic rank decomposition of one matrix.
    fn decompose(
        &self,
        role: WeightRole,
        curvature: &Curvature,
        layer: &mut LayerWeights,
        host: &mut Host,
    ) -> Result<Option<MatrixReport>, PluginError> {
        let Some(weight) = layer.get(role) else { return Ok(None) };
        let shape = host.shape(weight)?;
        let (rows, cols) = (shape.first().copied().unwrap_or(0), shape.get(1).copied().unwrap_or(0));
        let [u, s, v] = host.svd(weight)?;
        let scores = component_scores([&u, &s, &v], curvature, self.options.lambda_attention, host)?;
        let full_rank = scores.len();
        // Ranks are far below 2^52, so the conversions are exact.
        let budget = self.options.attention_ratio * (rows * cols) as f64 / (rows + cols).max(1) as f64;
        let rank = (budget.floor() as usize).clamp(1, full_rank.max(1));
        let kept = kept_components(&scores, rank);
        let energy = |value: &f32| f64::from(*value).powi(2);
        let values = host.to_f32(&s)?;
        let total: f64 = values.iter().map(energy).sum();
        let left: f64 = kept.iter().filter_map(|&index| values.get(index)).map(energy).sum();
        let residual_energy = if total == 0.0 { 0.0 } else { (1.0 - left / total).max(0.0) };
        let (u, v) = (columns(&u, &kept, host)?, columns(&v, &kept, host)?);
        let scale: Vec<f32> = kept.iter().filter_map(|&index| values.get(index).copied()).collect();
        let scale = host.from_f32(&scale, &[kept.len()])?;
        let form = WeightForm::Factored { left: host.mul(&u, &scale)?, right: host.transpose(&v)? };
        layer.set(role, form)?;
        Ok(Some(MatrixReport::new(role, kept.len(), full_rank, residual_energy)))
    }

    /// Selective channel pruning of up, gate and down together.
    fn prune_channels(
        &self,
        parts: &[(WeightRole, &Curvature)],
        layer: &mut LayerWeights,
        host: &mut Host,
    ) -> Result<Vec<MatrixReport>, PluginError> {
        let mut scores: Vec<f64> = Vec::new();
        for (role, curvature) in parts {
            let Some(weight) = layer.get(*role) else { continue };
            let rows = *role != WeightRole::MlpDown;
            let own = channel_scores(weight, rows, curvature, self.options.lambda_mlp, host)?;
            scores.resize(own.len(), 0.0);
            scores.iter_mut().zip(own).for_each(|(sum, score)| *sum += score);
        }
        let keep = ((scores.len() as f64 * self.options.mlp_ratio).floor() as usize).max(1);
        let order = ascending(&scores);
        let mut pruned: Vec<usize> = order.into_iter().take(scores.len().saturating_sub(keep)).collect();
        pruned.sort_unstable();
        let reports = parts.iter().map(|(role, _)| {
            layer.change_values(*role, host, |values, row| {
                for (at, value) in values.iter_mut().enumerate() {
                    let (r, c) = (at / row.max(1), at % row.max(1));
                    if pruned.binary_search(if *role == WeightRole::MlpDown { &c } else { &r }).is_ok() {
                        *value = 0.0;
                    }
                }
            })
        });
        reports.collect()
    }
}

fn ascending(scores: &[f64]) -> Vec<usize> {
    let score = |index: &usize| scores.get(*index).copied().unwrap_or(f64::MAX);
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| score(a).total_cmp(&score(b)));
    order
}

/// Ascending indices of the components that stay; components come in descending order of size.
fn kept_components(scores: &[f64], rank: usize) -> Vec<usize> {
    let always = ((scores.len() as f64 * ALWAYS_KEPT).ceil() as usize).min(rank);
    let others = ascending(scores).into_iter().rev().filter(|&index| index >= always);
    let mut kept: Vec<usize> = (0..always).chain(others.take(rank - always)).collect();
    kept.sort_unstable();
    kept
}

/// Some columns of a matrix.
fn columns(matrix: &Tensor, kept: &[usize], host: &mut Host) -> Result<Tensor, PluginError> {
    let shape = host.shape(matrix)?;
    let (rows, cols) = (shape.first().copied().unwrap_or(0), shape.get(1).copied().unwrap_or(0));
    let values = host.view_f32(matrix, |values| {
        let picked =
            values.chunks(cols.max(1)).flat_map(|row| kept.iter().filter_map(|&index| row.get(index).copied()));
        picked.collect::<Vec<f32>>()
    })?;
    host.from_f32(&values, &[rows, kept.len()])
}
