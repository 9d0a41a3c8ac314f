//! Reduced-rank regression: the best map of rank `r` from a layer's input to its change, in closed form (Izenman 1975).
//!
//! With covariance `C` of the input `x` and cross-covariance `D` of `change = y - x` with `x`: `B = D (C + ridge I)^-1` is the
//! full regression, `V` the `r` leading eigenvectors of `B (C + ridge I) B^T`; the map is `V V^T B (x - mean)`.
//! A ReLU passes it on when every unit is moved up by `opening` of its own standard deviations; the output bias takes that back.
//! Both matrices are scaled to the same size, so one learning rate suits both.

use scaleot_plugin_api::{Host, LayerMoments, PluginError, Tensor};

/// Variances below this share of the largest are no direction of the data.
const SMALLEST_VARIANCE: f64 = 1e-10;

/// A linear map of low rank in a layer's place: `change ~ change_mean + outer inner (x - input_mean)`.
#[derive(Debug)]
pub struct ReducedRank {
    /// `V^T B`, `[r, d]`.
    pub inner: Tensor,
    /// `V`, `[d, r]`, orthonormal columns.
    pub outer: Tensor,
}

/// The four tensors of a network with one hidden layer, `up f(down x + down_bias) + up_bias`.
#[derive(Debug)]
pub struct TwoLayers {
    /// `[r, d]`.
    pub down: Tensor,
    /// `[r]`.
    pub down_bias: Tensor,
    /// `[d, r]`.
    pub up: Tensor,
    /// `[d]`.
    pub up_bias: Tensor,
}

impl ReducedRank {
    /// The best linear map of rank `min(rank, d)` from the layer's input to its change; `ridge` is relative to the median of the
    /// input's variances.
    ///
    /// # Errors
    /// `Numeric` when a factorisation fails; those of the host pass through.
    pub fn of(moments: &LayerMoments, rank: usize, ridge: f64, host: &mut Host) -> Result<Self, PluginError> {
        let width = host.shape(&moments.input_mean)?.first().copied().unwrap_or(0);
        let rank = rank.min(width);
        let whitening = whitening(&moments.input_covariance, width, ridge, host)?;
        // `D W` is the regression on the whitened input.
        let whitened = host.matmul(&moments.cross_covariance, &whitening)?;
        let whitened_t = host.transpose(&whitened)?;
        let explained = host.matmul(&whitened, &whitened_t)?;
        let [_, vectors] = host.symmetric_eigen(&explained)?;
        let outer = host.narrow(&vectors, 1, width - rank, rank)?;
        let outer_t = host.transpose(&outer)?;
        let coefficients = host.matmul(&outer_t, &whitened)?;
        let whitening_t = host.transpose(&whitening)?;
        Ok(ReducedRank { inner: host.matmul(&coefficients, &whitening_t)?, outer })
    }

    /// The same map through a ReLU, as long as every unit stays within `opening` standard deviations of its mean: the start of a
    /// network that is to learn from there.
    ///
    /// # Errors
    /// Those of the host pass through.
    pub fn through_relu(
        &self,
        moments: &LayerMoments,
        opening: f64,
        host: &mut Host,
    ) -> Result<TwoLayers, PluginError> {
        let deviations = unit_deviations(&self.inner, &moments.input_covariance, host)?;
        let rank = deviations.len();
        // Equal sizes of both matrices: a unit's deviation and its column in `up` are both sqrt(deviation).
        let scales: Vec<f32> = deviations.iter().map(|deviation| 1.0 / deviation.sqrt()).collect();
        let inverse: Vec<f32> = scales.iter().map(|scale| 1.0 / scale).collect();
        let shifts: Vec<f32> = deviations.iter().map(|deviation| opening as f32 * deviation.sqrt()).collect();
        let column = host.from_f32(&scales, &[rank, 1])?;
        let down = host.mul(&self.inner, &column)?;
        let row = host.from_f32(&inverse, &[1, rank])?;
        let up = host.mul(&self.outer, &row)?;
        let shift = host.from_f32(&shifts, &[rank])?;
        let down_bias = {
            let at_mean = product(&down, &moments.input_mean, host)?;
            host.sub(&shift, &at_mean)?
        };
        let up_bias = {
            let shifted = product(&up, &shift, host)?;
            host.sub(&moments.change_mean, &shifted)?
        };
        Ok(TwoLayers { down, down_bias, up, up_bias })
    }
}

impl TwoLayers {
    /// The same function with at least `rank` units; the new ones carry nothing: zero rows in `down`, zero columns in `up`.
    ///
    /// # Errors
    /// Those of the host pass through.
    pub fn widened(self, rank: usize, host: &mut Host) -> Result<Self, PluginError> {
        let &[units, width] = host.shape(&self.down)?.as_slice() else { return Ok(self) };
        let Some(missing) = rank.checked_sub(units).filter(|&missing| missing > 0) else { return Ok(self) };
        let (rows, entries, columns) =
            (host.zeros(&[missing, width])?, host.zeros(&[missing])?, host.zeros(&[width, missing])?);
        Ok(Self {
            down: host.cat(&[&self.down, &rows], 0)?,
            down_bias: host.cat(&[&self.down_bias, &entries], 0)?,
            up: host.cat(&[&self.up, &columns], 1)?,
            up_bias: self.up_bias,
        })
    }
}

/// `W = Q / sqrt(variance + ridge)`, `[d, d]`: the input times it has unit covariance.
fn whitening(covariance: &Tensor, width: usize, ridge: f64, host: &mut Host) -> Result<Tensor, PluginError> {
    let [variances, axes] = host.symmetric_eigen(covariance)?;
    let median = host.view_f32(covariance, |values| diagonal_median(values, width))?;
    let inverse_roots: Vec<f32> = host.view_f32(&variances, |values| {
        let largest = values.iter().copied().fold(0.0f32, f32::max);
        let floor = f64::from(largest) * SMALLEST_VARIANCE + f64::from(f32::MIN_POSITIVE);
        let root = |value: &f32| (1.0 / (f64::from(value.max(0.0)) + ridge * median).max(floor).sqrt()) as f32;
        values.iter().map(root).collect()
    })?;
    let roots = host.from_f32(&inverse_roots, &[1, width])?;
    host.mul(&axes, &roots)
}

fn diagonal_median(values: &[f32], width: usize) -> f64 {
    let mut diagonal: Vec<f32> = values.iter().step_by(width + 1).copied().collect();
    diagonal.sort_by(f32::total_cmp);
    diagonal.get(diagonal.len() / 2).copied().map_or(0.0, f64::from)
}

/// `sqrt(diag(down C down^T))`, never 0.
fn unit_deviations(down: &Tensor, covariance: &Tensor, host: &mut Host) -> Result<Vec<f32>, PluginError> {
    let product = host.matmul(down, covariance)?;
    let squares = host.mul(&product, down)?;
    let variances = host.sum(&squares, Some(1))?;
    host.view_f32(&variances, |values| values.iter().map(|value| value.max(1e-12).sqrt()).collect())
}

/// `a v`, `[m, n] x [n] -> [m]`.
fn product(a: &Tensor, v: &Tensor, host: &mut Host) -> Result<Tensor, PluginError> {
    let scaled = host.mul(a, v)?;
    host.sum(&scaled, Some(1))
}
