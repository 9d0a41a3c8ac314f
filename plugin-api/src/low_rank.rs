//! Truncated singular value decompositions: `W_r = U_r diag(S_r) V_r^T`, the matrix of rank `r` that is nearest to `W`.
//!
//! Asked for several matrices at once, so that the host can give each core one of its own. `W: [rows, cols]`,
//! `||W - W_r||_F^2 = sum_{k>r} S_k^2` (Eckart and Young, 1936). What every rank-cutting compressor shares is here too.

use crate::compress::{CompressionReport, LayerWeights, MatrixReport, WeightForm};
use crate::error::PluginError;
use crate::host::Host;
use crate::outline::WeightRole;
use crate::services::TruncatedSvds;
use crate::services::carrier::HostServices;
use crate::tensor::{Handle, Tensor};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// One matrix and the rank that is kept of it. `T` is a [`Tensor`] for an author and a bare handle on the wire.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RankCut<T> {
    /// The name of the matrix in errors, for example `attention.q of layer 3`.
    pub name: String,
    /// `[rows, cols]`.
    pub weight: T,
    /// `r`, from 1 to `min(rows, cols)`.
    pub rank: usize,
    /// Two factors instead of their product.
    pub factored: bool,
}

impl<T> RankCut<T> {
    /// A cut of this matrix to a rank.
    #[must_use]
    pub fn new(name: impl Into<String>, weight: T, rank: usize, factored: bool) -> Self {
        Self { name: name.into(), weight, rank, factored }
    }
}

/// A matrix of lower rank, and the singular values of the original.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TruncatedSvd<T = Tensor> {
    /// `W_r`, in the element type of `W`. Of two factors, the one at the matrix's shorter side is orthonormal, the other holds `S_r`.
    pub form: WeightForm<T>,
    /// All of `S`, `[min(rows, cols)]`, fp32, descending. Values far below the largest are rounding: `S_k` is known to about
    /// `1e-7 S_1^2 / S_k`, so sums of squares are exact to about `1e-7` of the whole.
    pub singular_values: T,
}

impl<T> TruncatedSvd<T> {
    /// A matrix of lower rank, with all singular values of the original.
    #[must_use]
    pub fn new(form: WeightForm<T>, singular_values: T) -> Self {
        Self { form, singular_values }
    }
}

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

impl Host<'_> {
    /// The nearest matrix of each rank, in the order of the question.
    ///
    /// ```
    /// use scaleot_plugin_api::{PluginError, RankCut, WeightForm};
    /// use scaleot_plugin_conformance::FakeHost;
    /// let mut fake = FakeHost::toy(2, 4);
    /// let mut host = fake.host();
    /// let weight = host.from_f32(&[3.0, 0.0, 0.0, 2.0], &[2, 2])?;
    /// let cut = RankCut { name: "example".into(), weight: &weight, rank: 1, factored: false };
    /// let nearest = host.truncated_svds(&[cut])?.remove(0);
    /// let WeightForm::Dense { weight } = nearest.form else { unreachable!("two factors were not asked for") };
    /// assert_eq!(host.to_f32(&weight)?, [3.0, 0.0, 0.0, 0.0]);
    /// assert_eq!(host.to_f32(&nearest.singular_values)?, [3.0, 2.0]);
    /// # Ok::<(), PluginError>(())
    /// ```
    ///
    /// # Errors
    /// `Host` for what is no matrix or a rank that it cannot have, `Numeric` for a value that is not finite or a decomposition
    /// that does not converge, each with the matrix's name; `Unsupported` from a host that is older than this service.
    pub fn truncated_svds(&mut self, cuts: &[RankCut<&Tensor>]) -> Result<Vec<TruncatedSvd>, PluginError> {
        if cuts.is_empty() {
            return Ok(Vec::new());
        }
        let question: Vec<RankCut<Handle>> = cuts.iter().map(RankCut::on_the_wire).collect();
        let answer = self.ask::<TruncatedSvds>(&question)?;
        let made: Vec<_> = answer.into_iter().map(|svd| svd.adopt(self.services)).collect();
        if made.len() != cuts.len() {
            let (found, expected) = (made.len(), cuts.len());
            return Err(PluginError::host(format!("{found} decompositions came back, expected {expected}")));
        }
        Ok(made)
    }
}

impl RankCut<&Tensor> {
    fn on_the_wire(&self) -> RankCut<Handle> {
        let Self { name, weight, rank, factored } = self;
        RankCut { name: name.clone(), weight: weight.handle(), rank: *rank, factored: *factored }
    }
}

impl<T> RankCut<T> {
    /// Refuses a shape that is no matrix, and a rank that the matrix cannot have. For hosts.
    ///
    /// # Errors
    /// `Host`, with the name, what was found and what was expected.
    pub fn check(&self, shape: &[usize]) -> Result<(), PluginError> {
        let Self { name, rank, .. } = self;
        let &[rows, cols] = shape else {
            return Err(PluginError::host(format!("{name} has the shape {shape:?}, expected a matrix")));
        };
        if (1..=rows.min(cols)).contains(rank) {
            return Ok(());
        }
        let full = rows.min(cols);
        Err(PluginError::host(format!("{name} is {shape:?} and cannot keep the rank {rank}, expected 1 to {full}")))
    }
}

impl TruncatedSvd<Handle> {
    fn adopt(self, services: &mut dyn HostServices) -> TruncatedSvd {
        let owner = services.releaser();
        let adopt = |handle| Tensor::adopt(handle, Rc::clone(&owner));
        let form = match self.form {
            WeightForm::Dense { weight } => WeightForm::Dense { weight: adopt(weight) },
            WeightForm::Factored { left, right } => WeightForm::Factored { left: adopt(left), right: adopt(right) },
        };
        TruncatedSvd { form, singular_values: adopt(self.singular_values) }
    }
}
