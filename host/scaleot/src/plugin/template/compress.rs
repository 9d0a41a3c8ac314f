//! my-plugin: the nearest matrix of lower rank, `W ~ U_r diag(S_r) V_r^T`, of the attention's weights.
//!
//! `r = max(1, floor(min(rows, cols) * keep))`; residual energy `1 - sum_{k<=r} S_k^2 / sum_k S_k^2`, which the host recomputes.

use scaleot_plugin_api::{
    CompressionReport, Compressor, Host, LayerWeights, MatrixReport, PluginError, RankCut,
    Strategy, WeightRole, export_plugin,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `my-plugin/low-rank`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LowRankOptions {
    /// Share of the rank that is kept.
    #[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1.0))]
    pub keep: f64,
}

impl Default for LowRankOptions {
    fn default() -> Self {
        Self { keep: 0.5 }
    }
}

/// Cuts ranks, layer by layer.
pub struct LowRank {
    keep: f64,
}

impl Strategy for LowRank {
    type Options = LowRankOptions;
    fn new(options: LowRankOptions) -> Result<Self, PluginError> {
        Ok(Self { keep: options.keep })
    }
}

impl Compressor for LowRank {
    /// Reads weights by role, sets those that it changes, and reports on each of them.
    fn compress(
        &mut self,
        layer: &mut LayerWeights,
        host: &mut Host,
    ) -> Result<CompressionReport, PluginError> {
        let (mut cuts, mut matrices) = (Vec::new(), Vec::new());
        for role in layer
            .roles()
            .into_iter()
            .filter(|role| WeightRole::ATTENTION.contains(role))
        {
            let Some(weight) = layer.get(role) else {
                continue;
            };
            let shape = host.shape(weight)?;
            let full_rank = shape.iter().copied().min().unwrap_or(1);
            let rank = ((full_rank as f64 * self.keep).floor() as usize).clamp(1, full_rank);
            if rank == full_rank {
                continue;
            }
            // Two factors where they are smaller than the matrix.
            let factored = rank * shape.iter().sum::<usize>() < shape.iter().product();
            let name = format!("{role} of layer {}", layer.outline().index);
            cuts.push(RankCut::new(name, weight, rank, factored));
            matrices.push(MatrixReport::new(role, rank, full_rank, 0.0));
        }
        // One question for the whole layer: the host gives each core a matrix.
        let nearest = host.truncated_svds(&cuts)?;
        for (matrix, svd) in matrices.iter_mut().zip(nearest) {
            matrix.residual_energy = host.view_f32(&svd.singular_values, |values| {
                residual_energy(values, matrix.rank)
            })?;
            layer.set(matrix.role, svd.form)?;
        }
        Ok(CompressionReport::new(matrices))
    }
}

/// The share of energy past the first `rank` singular values; 0 for a matrix of zeros.
fn residual_energy(singular_values: &[f32], rank: usize) -> f64 {
    let energy = |values: &[f32]| {
        values
            .iter()
            .map(|&value| f64::from(value).powi(2))
            .sum::<f64>()
    };
    let total = energy(singular_values);
    if total == 0.0 {
        0.0
    } else {
        energy(singular_values.get(rank..).unwrap_or(&[])) / total
    }
}

export_plugin! {
    name: "my-plugin",
    about: "Attention weights of lower rank.",
    strategies: {
        "low-rank": compress LowRank, "Keeps a share of the rank of every attention weight.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scaleot_plugin_conformance::FakeHost;

    #[test]
    fn every_attention_weight_keeps_half_its_rank() {
        let mut fake = FakeHost::toy(3, 8);
        let mut layer = fake.layer_weights(1);
        let mut low_rank = LowRank::new(LowRankOptions::default()).expect("the defaults are good");
        let report = low_rank
            .compress(&mut layer, &mut fake.host())
            .expect("an answer");
        assert_eq!(report.matrices.len(), 4);
        assert!(
            report
                .matrices
                .iter()
                .all(|matrix| matrix.rank * 2 == matrix.full_rank),
            "{report:?}"
        );
    }

    #[test]
    fn residual_energy_is_a_share() {
        assert_eq!(residual_energy(&[2.0, 1.0], 1), 0.2);
        assert_eq!(residual_energy(&[0.0, 0.0], 1), 0.0);
    }
}
