//! Selective rank compression (ScaleOT, 3.4): `W ~ U_r diag(S_r) V_r^T` of the attention weights, feed-forward left whole.
//!
//! `r = max(1, floor(min(rows, cols) * rank_ratio))`; q, k, v and o each on their own, so a fused projection does not share its
//! rank. The residual energy is `1 - sum_{k<=r} S_k^2 / sum_k S_k^2`, which the host compares with `||W - W_r||_F^2 / ||W||_F^2`.
//! Biases and norms are untouched.

use plugin_api::{
    CompressionReport, Compressor, Host, LayerWeights, MatrixReport, PluginError, RankCut, Strategy, TruncatedSvd,
    WeightRole,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Which matrices lose rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Modules {
    /// q, k, v and o (the paper).
    Attention,
    /// up, gate and down.
    Mlp,
    /// Both.
    Both,
}

/// How the product is stored in the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// Factored when that is smaller, else dense.
    Smaller,
    /// Always the dense product: opens in plain Transformers.
    Dense,
    /// Always two factors.
    Factored,
}

/// Options of `scaleot/selective-rank`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SelectiveRankOptions {
    /// Share of the rank that is KEPT (beta); sources disagree on beta's direction, so the word says it.
    #[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1.0))]
    pub rank_ratio: f64,
    /// Which matrices lose rank.
    pub modules: Modules,
    /// How the product is stored.
    pub storage: Storage,
}

impl Default for SelectiveRankOptions {
    fn default() -> Self {
        Self { rank_ratio: 0.8, modules: Modules::Attention, storage: Storage::Smaller }
    }
}

/// Truncated SVD by role.
pub struct SelectiveRank {
    options: SelectiveRankOptions,
}

impl Strategy for SelectiveRank {
    type Options = SelectiveRankOptions;
    fn new(options: SelectiveRankOptions) -> Result<Self, PluginError> {
        if !(options.rank_ratio > 0.0 && options.rank_ratio <= 1.0) {
            return Err(PluginError::options(format!(
                "rank_ratio is {}, expected a share that is kept, above 0 and at most 1",
                options.rank_ratio
            )));
        }
        Ok(Self { options })
    }
}

impl Compressor for SelectiveRank {
    fn compress(&mut self, layer: &mut LayerWeights, host: &mut Host) -> Result<CompressionReport, PluginError> {
        let (mut matrices, mut cuts, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for role in layer.roles().into_iter().filter(|role| self.options.modules.include(*role)) {
            let Some(weight) = layer.get(role) else { continue };
            let (matrix, factored) = self.plan(role, &host.shape(weight)?)?;
            if matrix.rank < matrix.full_rank {
                let name = format!("{role} of layer {}", layer.outline().index);
                places.push(matrices.len());
                cuts.push(RankCut { name, weight, rank: matrix.rank, factored });
            }
            matrices.push(matrix);
        }
        // One question for the whole layer: the host gives each core a matrix.
        let nearest = host.truncated_svds(&cuts)?;
        for (place, TruncatedSvd { form, singular_values }) in places.into_iter().zip(nearest) {
            let Some(matrix) = matrices.get_mut(place) else { continue };
            let rank = matrix.rank;
            matrix.residual_energy = host.view_f32(&singular_values, |values| residual_energy(values, rank))?;
            layer.set(matrix.role, form)?;
        }
        Ok(CompressionReport { matrices })
    }
}

impl Modules {
    fn include(self, role: WeightRole) -> bool {
        let (attention, mlp) = (WeightRole::ATTENTION.contains(&role), WeightRole::MLP.contains(&role));
        match self {
            Self::Attention => attention,
            Self::Mlp => mlp,
            Self::Both => attention || mlp,
        }
    }
}

impl SelectiveRank {
    /// The rank that a matrix keeps, and whether it is stored as two factors.
    fn plan(&self, role: WeightRole, shape: &[usize]) -> Result<(MatrixReport, bool), PluginError> {
        let &[rows, cols] = shape else {
            return Err(PluginError::failed(format!("{role} has the shape {shape:?}, expected a matrix")));
        };
        let full_rank = rows.min(cols);
        // Ranks are far below 2^52, so the conversions are exact.
        let rank = ((full_rank as f64 * self.options.rank_ratio).floor() as usize).max(1).min(full_rank);
        let factored = match self.options.storage {
            Storage::Smaller => rank * (rows + cols) < rows * cols,
            Storage::Dense => false,
            Storage::Factored => true,
        };
        Ok((MatrixReport { role, rank, full_rank, residual_energy: 0.0 }, factored))
    }
}

/// `1 - sum_{k<=r} S_k^2 / sum_k S_k^2`; 0 for a zero matrix.
fn residual_energy(singular_values: &[f32], rank: usize) -> f64 {
    let energy = |values: &[f32]| values.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>();
    let total = energy(singular_values);
    if total == 0.0 { 0.0 } else { energy(singular_values.get(rank..).unwrap_or(&[])) / total }
}
