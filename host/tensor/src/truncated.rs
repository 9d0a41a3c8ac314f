//! The nearest matrix of rank `r`, `W_r = U_r diag(S_r) V_rᵀ`, from the eigenvectors of the smaller Gram matrix.
//!
//! `A` is `W` or `Wᵀ`, whichever is `[k, n]` with `k ≤ n`. With `A Aᵀ = Q diag(λ) Qᵀ`, `S = √λ` and `A_r = Q_r Q_rᵀ A`, where
//! `Q_r` holds the eigenvectors of the `r` largest; for `r > k/2` it is cheaper as `A − Q_⊥ Q_⊥ᵀ A` with the others. Either way
//! the result is a projection of `A`, so its error is orthogonal to it whatever the rounding.
//!
//! Squaring costs digits. In fp32 they are missed only where eigenvectors on the two sides of the cut lie close together:
//! those around the cut are solved for again in fp64, and a first-order bound tells how far the others can be off.
//! If it is not below `1e-4` of `‖W_r‖`, and for small matrices, everything is done in fp64.
//! Measured on the 120 attention matrices of SmolLM2-135M: at most 3e-6 from the fp64 result, as libtorch's fp32 SVD.

use super::workers::on_every_core;
use super::{Device, Dtype, Result, Tensor, WeightForm, no_grad};

/// Eigenvectors on each side of the cut that are solved for again in fp64.
const AROUND_THE_CUT: i64 = 32;
/// Up to this size fp64 costs next to nothing.
const SMALL: i64 = 4 * AROUND_THE_CUT;
/// The largest share of `‖W_r‖` by which fp32 may be off, by the bound; the measured error is ten times smaller.
const LARGEST_ERROR: f64 = 1e-4;

/// The nearest matrix of a rank, and all singular values of the original, fp32, descending.
pub struct TruncatedSvd {
    /// In factors, the one at the shorter side is orthonormal.
    pub nearest: WeightForm,
    pub singular_values: Tensor,
}

/// One matrix of [`truncated_svds`].
pub struct Cut {
    pub weight: Tensor,
    /// From 1 to the shorter side.
    pub rank: i64,
    /// Two factors instead of their product.
    pub factored: bool,
}

/// Each cut by itself; several at once on the CPU, where one of them leaves cores idle.
pub fn truncated_svds(cuts: Vec<Cut>) -> Vec<Result<TruncatedSvd>> {
    let work = |cut: Cut| cut.weight.truncated_svd(cut.rank, cut.factored);
    if cuts.iter().any(|cut| cut.weight.device() != Device::Cpu) {
        return cuts.into_iter().map(work).collect();
    }
    let cost = |cut: &Cut| {
        let shorter = cut.weight.shape().into_iter().min().unwrap_or(0);
        cut.weight.numel() * usize::try_from(shorter).unwrap_or(0)
    };
    on_every_core(cuts, cost, work)
}

impl Tensor {
    /// The nearest matrix of that rank, in the type of `self`, computed in fp32 or better.
    ///
    /// # Errors
    /// A rank that the matrix does not have, or an operation that libtorch refuses.
    pub fn truncated_svd(&self, rank: i64, factored: bool) -> Result<TruncatedSvd> {
        let _off_the_graph = no_grad();
        let upright = self.size(0)? > self.size(1)?;
        let precision = if self.dtype() == Dtype::F64 { Dtype::F64 } else { Dtype::F32 };
        let a = if upright { self.transpose(0, 1)? } else { self.clone() };
        let a = a.to_dtype(precision)?.contiguous()?;
        let spectrum = Spectrum::of(&a, rank)?;
        let nearest = if factored {
            let q = spectrum.largest(rank)?;
            let rest = q.times(&a)?;
            let (left, right) = if upright { (rest.transpose(0, 1)?, q) } else { (q.transpose(0, 1)?, rest) };
            WeightForm::Factored {
                left: left.contiguous()?.to_dtype(self.dtype())?,
                right: right.to_dtype(self.dtype())?,
            }
        } else {
            let product = spectrum.project(&a, rank)?;
            let product = if upright { product.transpose(0, 1)?.contiguous()? } else { product };
            WeightForm::Dense(product.to_dtype(self.dtype())?)
        };
        Ok(TruncatedSvd { nearest, singular_values: spectrum.singular_values()? })
    }

    /// `self · other` for matrices in row-major memory, in the way that is fastest for [`Tensor::linear`].
    fn times(&self, other: &Tensor) -> Result<Tensor> {
        self.linear(&other.transpose(0, 1)?, None)
    }
}

/// `A Aᵀ = Qᵀ diag(λ) Q`.
struct Spectrum {
    /// `[k]`, ascending, fp64.
    values: Tensor,
    /// `[k, k]`, an eigenvector in each row.
    rows: Tensor,
}

impl Spectrum {
    /// In the type of `a`, precise enough for a cut at `rank`.
    fn of(a: &Tensor, rank: i64) -> Result<Self> {
        if a.dtype() == Dtype::F32 && a.size(0)? > SMALL {
            // Values beyond 1e19 have no square in fp32: an error here only means that fp64 must do.
            if let Ok(rough) = Self::of_gram(a)
                && error_bound(&rough.values.to_vec_f64()?, usize::try_from(rank).unwrap_or(0)) <= LARGEST_ERROR
            {
                return rough.refine(a, rank);
            }
        }
        let exact = Self::of_gram(&a.to_dtype(Dtype::F64)?)?;
        Ok(Self { rows: exact.rows.to_dtype(a.dtype())?, ..exact })
    }

    fn of_gram(a: &Tensor) -> Result<Self> {
        let (values, columns) = a.linear(a, None)?.eigh()?;
        Ok(Self { values: values.to_dtype(Dtype::F64)?, rows: columns.transpose(0, 1)?.contiguous()? })
    }

    /// Solves again, in fp64, within the space of the eigenvectors around the cut (Rayleigh and Ritz).
    fn refine(self, a: &Tensor, rank: i64) -> Result<Self> {
        let k = self.values.size(0)?;
        let first = (k - rank - AROUND_THE_CUT).max(0);
        let length = (k - rank + AROUND_THE_CUT).min(k) - first;
        let near = self.rows.narrow(0, first, length)?.to_dtype(Dtype::F64)?;
        // One Newton step towards orthonormal rows, which fp32 leaves at about 1e-6.
        let gram = near.linear(&near, None)?;
        let near = near.mul_scalar(1.5)?.sub(&gram.mul_scalar(0.5)?.times(&near)?)?;
        let moved = near.times(&a.to_dtype(Dtype::F64)?)?;
        let (values, turn) = moved.linear(&moved, None)?.eigh()?;
        let turned = turn.transpose(0, 1)?.contiguous()?.times(&near)?.to_dtype(a.dtype())?;
        Ok(Self {
            values: replace_rows(&self.values, first, &values)?,
            rows: replace_rows(&self.rows, first, &turned)?,
        })
    }

    /// The eigenvectors of the `rank` largest eigenvalues, `[rank, k]`.
    fn largest(&self, rank: i64) -> Result<Tensor> {
        self.rows.narrow(0, self.values.size(0)? - rank, rank)
    }

    /// `A_r`, through the smaller of the two spaces.
    fn project(&self, a: &Tensor, rank: i64) -> Result<Tensor> {
        let dropped = self.values.size(0)? - rank;
        let within = |q: Tensor| q.transpose(0, 1)?.contiguous()?.times(&q.times(a)?);
        match dropped {
            0 => a.deep_copy(),
            _ if dropped < rank => a.sub(&within(self.rows.narrow(0, 0, dropped)?)?),
            _ => within(self.largest(rank)?),
        }
    }

    fn singular_values(&self) -> Result<Tensor> {
        let (descending, _) = self.values.clamp(0.0, f64::INFINITY)?.sqrt()?.topk(self.values.size(0)?)?;
        descending.to_dtype(Dtype::F32)
    }
}

/// `whole` with rows from `first` on exchanged.
fn replace_rows(whole: &Tensor, first: i64, rows: &Tensor) -> Result<Tensor> {
    let after = first + rows.size(0)?;
    let below = whole.narrow(0, 0, first)?;
    let above = whole.narrow(0, after, whole.size(0)? - after)?;
    Tensor::cat(&[below, rows.clone(), above], 0)
}

/// Bound on the error of `W_r` by rounding in fp32, as a share of `‖W_r‖`, from ascending eigenvalues.
///
/// An error of `N = ε λ_max` in the Gram matrix turns eigenvector `i` towards `j` by `N / (λ_i − λ_j)`, which moves `W_r` by
/// `S_i` times that if the cut lies between them. Pairs near the cut are solved for again and do not count.
fn error_bound(ascending: &[f64], rank: usize) -> f64 {
    let cut = ascending.len().saturating_sub(rank);
    let around = usize::try_from(AROUND_THE_CUT).unwrap_or(0);
    let (dropped, kept) = ascending.split_at(cut);
    let mut moved = 0.0;
    for (i, &high) in kept.iter().enumerate() {
        for (j, &low) in dropped.iter().enumerate() {
            if i >= around || j + around < cut {
                moved += high / (high - low).powi(2);
            }
        }
    }
    let noise = f64::from(f32::EPSILON) / 2.0 * ascending.last().copied().unwrap_or(0.0);
    let bound = noise * (moved / kept.iter().sum::<f64>()).sqrt();
    if bound.is_finite() { bound } else { f64::INFINITY }
}

#[cfg(test)]
#[path = "truncated_tests.rs"]
mod tests;
