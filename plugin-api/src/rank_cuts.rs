//! Rank cuts of a layer's weights: what every rank-cutting compressor shares.

use crate::compress::{CompressionReport, LayerWeights, MatrixReport};
use crate::error::PluginError;
use crate::host::Host;
use crate::outline::WeightRole;
use crate::services::low_rank::{RankCut, TruncatedSvd};
use serde::{Deserialize, Serialize};

/// The storage of a matrix of low rank in the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Storage {
    /// Factored when that is smaller, else dense.
    Smaller,
    /// Always the dense product: opens in plain Transformers.
    Dense,
    /// Always two factors.
    Factored,
}

impl Storage {
    fn factored(self, rank: usize, rows: usize, cols: usize) -> bool {
        match self {
            Self::Smaller => rank * (rows + cols) < rows * cols,
            Self::Dense => false,
            Self::Factored => true,
        }
    }
}

impl LayerWeights {
    /// Puts the nearest matrix of its rank in the place of each of these weights, in one question to the host. A rank is at least
    /// 1; one that is whole leaves its matrix as it is. The residual energy is `1 - sum_{k<=r} S_k^2 / sum_k S_k^2`.
    ///
    /// # Errors
    /// As [`Host::truncated_svds`] and [`set`](Self::set).
    pub fn cut_ranks(
        &mut self,
        ranks: &[(WeightRole, usize)],
        storage: Storage,
        host: &mut Host,
    ) -> Result<CompressionReport, PluginError> {
        let (mut matrices, mut cuts, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for &(role, rank) in ranks {
            let Some(weight) = self.get(role) else { continue };
            let shape = host.shape(weight)?;
            let &[rows, cols] = shape.as_slice() else {
                return Err(PluginError::failed(format!("{role} has the shape {shape:?}, expected a matrix")));
            };
            let full_rank = rows.min(cols);
            let rank = rank.max(1).min(full_rank);
            if rank < full_rank {
                let name = format!("{role} of layer {}", self.outline().index);
                places.push(matrices.len());
                cuts.push(RankCut { name, weight, rank, factored: storage.factored(rank, rows, cols) });
            }
            matrices.push(MatrixReport { role, rank, full_rank, residual_energy: 0.0 });
        }
        let nearest = host.truncated_svds(&cuts)?;
        for (place, TruncatedSvd { form, singular_values }) in places.into_iter().zip(nearest) {
            let Some(matrix) = matrices.get_mut(place) else { continue };
            let rank = matrix.rank;
            matrix.residual_energy = host.view_f32(&singular_values, |values| residual_energy(values, rank))?;
            self.set(matrix.role, form)?;
        }
        Ok(CompressionReport { matrices })
    }

    /// [`cut_ranks`](Self::cut_ranks) of these weights to one share of each one's whole rank:
    /// `r = max(1, floor(min(rows, cols) * share))`.
    ///
    /// ```
    /// use scaleot_plugin_api::{PluginError, Storage, WeightRole};
    /// use scaleot_plugin_conformance::FakeHost;
    /// let mut fake = FakeHost::toy(1, 8);
    /// let mut layer = fake.layer_weights(0);
    /// let report = layer.cut_rank_share(&[WeightRole::AttentionO], 0.7, Storage::Dense, &mut fake.host())?;
    /// assert_eq!((report.matrices[0].rank, report.matrices[0].full_rank), (5, 8));
    /// # Ok::<(), PluginError>(())
    /// ```
    ///
    /// # Errors
    /// As [`cut_ranks`](Self::cut_ranks).
    pub fn cut_rank_share(
        &mut self,
        roles: &[WeightRole],
        share: f64,
        storage: Storage,
        host: &mut Host,
    ) -> Result<CompressionReport, PluginError> {
        let mut ranks = Vec::with_capacity(roles.len());
        for &role in roles {
            let Some(weight) = self.get(role) else { continue };
            let full_rank = host.shape(weight)?.into_iter().min().unwrap_or(0);
            // Ranks are far below 2^52, so the conversions are exact.
            ranks.push((role, (full_rank as f64 * share).floor() as usize));
        }
        self.cut_ranks(&ranks, storage, host)
    }
}

/// 0 for a zero matrix.
fn residual_energy(singular_values: &[f32], rank: usize) -> f64 {
    let energy = |values: &[f32]| values.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>();
    let total = energy(singular_values);
    if total == 0.0 { 0.0 } else { energy(singular_values.get(rank..).unwrap_or(&[])) / total }
}
