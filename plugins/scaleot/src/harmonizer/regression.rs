//! Reduced-rank regression: the best map of rank `r` from a layer's input to its change, in closed form.
//!
//! With covariance `C` of the input `x` and cross-covariance `D` of `change = y - x` with `x`: `B = D (C + ridge I)^-1` is the
//! full regression, `V` the `r` leading eigenvectors of `B (C + ridge I) B^T`; the map is `V V^T B (x - mean)`.
//! A ReLU passes it on when every unit is moved up by `opening` of its own standard deviations; the output bias takes that back.
//! Both matrices are scaled to the same size, so one learning rate suits both. Izenman 1975; here a warm start, not in the paper.

use super::options::HarmonizerOptions;
use plugin_api::{Host, LayerMoments, PluginError, Tensor};

/// The four tensors of a harmonizer: `down [r, d]`, its bias `[r]`, `up [d, r]`, its bias `[d]`.
pub struct Parts {
    /// `[r, d]`.
    pub down: Tensor,
    /// `[r]`.
    pub down_bias: Tensor,
    /// `[d, r]`.
    pub up: Tensor,
    /// `[d]`.
    pub up_bias: Tensor,
}

/// Variances below this share of the largest are no direction of the data.
const SMALLEST_VARIANCE: f64 = 1e-10;

/// The start of a harmonizer from its layer's moments.
///
/// # Errors
/// `Numeric` when a factorisation fails; those of the host pass through.
pub fn regress(moments: &LayerMoments, options: &HarmonizerOptions, host: &mut Host) -> Result<Parts, PluginError> {
    let width = host.shape(&moments.input_mean)?.first().copied().unwrap_or(0);
    let rank = options.rank.min(width);
    let (map, directions) = reduced_rank_map(moments, (rank, options.ridge), host)?;
    let deviations = unit_deviations(&map, &moments.input_covariance, host)?;
    // Equal sizes of both matrices: a unit's deviation and its column in `up` are both sqrt(deviation).
    let scales: Vec<f32> = deviations.iter().map(|deviation| 1.0 / deviation.sqrt()).collect();
    let inverse: Vec<f32> = scales.iter().map(|scale| 1.0 / scale).collect();
    let shifts: Vec<f32> = deviations.iter().map(|deviation| options.opening as f32 * deviation.sqrt()).collect();
    let column = host.from_f32(&scales, &[rank, 1])?;
    let down = host.mul(&map, &column)?;
    let row = host.from_f32(&inverse, &[1, rank])?;
    let up = host.mul(&directions, &row)?;
    let shift = host.from_f32(&shifts, &[rank])?;
    let down_bias = {
        let at_mean = product(&down, &moments.input_mean, host)?;
        host.sub(&shift, &at_mean)?
    };
    let up_bias = {
        let shifted = product(&up, &shift, host)?;
        host.sub(&moments.change_mean, &shifted)?
    };
    padded(Parts { down, down_bias, up, up_bias }, (options.rank, width), host)
}

/// `V^T B` `[r, d]` and `V` `[d, r]`.
fn reduced_rank_map(
    moments: &LayerMoments,
    (rank, ridge): (usize, f64),
    host: &mut Host,
) -> Result<(Tensor, Tensor), PluginError> {
    let width = host.shape(&moments.input_mean)?.first().copied().unwrap_or(0);
    let [variances, axes] = host.symmetric_eigen(&moments.input_covariance)?;
    let median = host.view_f32(&moments.input_covariance, |values| diagonal_median(values, width))?;
    let inverse_roots: Vec<f32> = host.view_f32(&variances, |values| {
        let largest = values.iter().copied().fold(0.0f32, f32::max);
        let floor = f64::from(largest) * SMALLEST_VARIANCE + f64::from(f32::MIN_POSITIVE);
        let root = |value: &f32| (1.0 / (f64::from(value.max(0.0)) + ridge * median).max(floor).sqrt()) as f32;
        values.iter().map(root).collect()
    })?;
    let roots = host.from_f32(&inverse_roots, &[1, width])?;
    // `W = Q / sqrt(variance)` whitens the input; `D W` is the regression on the whitened input.
    let whitening = host.mul(&axes, &roots)?;
    let whitened = host.matmul(&moments.cross_covariance, &whitening)?;
    let whitened_t = host.transpose(&whitened)?;
    let explained = host.matmul(&whitened, &whitened_t)?;
    let [_, vectors] = host.symmetric_eigen(&explained)?;
    let directions = host.narrow(&vectors, 1, width - rank, rank)?;
    let directions_t = host.transpose(&directions)?;
    let coefficients = host.matmul(&directions_t, &whitened)?;
    let whitening_t = host.transpose(&whitening)?;
    Ok((host.matmul(&coefficients, &whitening_t)?, directions))
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

/// Units past the hidden size carry nothing: zero rows in `down`, zero columns in `up`.
fn padded(parts: Parts, (rank, width): (usize, usize), host: &mut Host) -> Result<Parts, PluginError> {
    let Some(missing) = rank.checked_sub(width).filter(|&missing| missing > 0) else { return Ok(parts) };
    let (rows, entries, columns) =
        (host.zeros(&[missing, width])?, host.zeros(&[missing])?, host.zeros(&[width, missing])?);
    Ok(Parts {
        down: host.cat(&[&parts.down, &rows], 0)?,
        down_bias: host.cat(&[&parts.down_bias, &entries], 0)?,
        up: host.cat(&[&parts.up, &columns], 1)?,
        up_bias: parts.up_bias,
    })
}
