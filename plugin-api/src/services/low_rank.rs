//! Truncated singular value decompositions: `W_r = U_r diag(S_r) V_r^T`, the matrix of rank `r` that is nearest to `W`.
//!
//! Asked for several matrices at once, so that the host can give each core one of its own. `W: [rows, cols]`,
//! `||W - W_r||_F^2 = sum_{k>r} S_k^2` (Eckart and Young, 1936).

use crate::error::PluginError;
use crate::tensor::Tensor;
use crate::weight_form::WeightForm;
use serde::{Deserialize, Serialize};

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
