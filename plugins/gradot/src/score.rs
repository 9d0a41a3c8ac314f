//! The gradient-preserving score of a change `Delta` to a matrix: `||H vec(Delta)||_1 - lambda <D, Delta>` (section 6).
//!
//! The first term is what the change does to gradients, the second rewards a higher loss. With `H vec(Delta) = vec(G Delta A)`:
//! a dropped component `Delta = -s u v^T` gives `s ||G u||_1 ||A v||_1 + lambda s u^T D v`; a zeroed row `c` gives
//! `||G[:,c]||_1 ||A W[c,:]^T||_1 + lambda <D[c,:], W[c,:]>`, a zeroed column the same with the roles turned. A low score may go.

use scaleot_plugin_api::{Curvature, Host, PluginError, Tensor};

fn values(tensor: &Tensor, host: &mut Host) -> Result<Vec<f64>, PluginError> {
    host.view_f32(tensor, |values| values.iter().map(|&value| f64::from(value)).collect())
}

/// `sum |a|` along a dimension.
fn one_norms(a: &Tensor, dim: usize, host: &mut Host) -> Result<Vec<f64>, PluginError> {
    let absolute = host.abs(a)?;
    let sums = host.sum(&absolute, Some(dim))?;
    values(&sums, host)
}

/// `sum a o b` along a dimension.
fn products(a: &Tensor, b: &Tensor, dim: usize, host: &mut Host) -> Result<Vec<f64>, PluginError> {
    let product = host.mul(a, b)?;
    let sums = host.sum(&product, Some(dim))?;
    values(&sums, host)
}

/// The score of dropping each component of `W = U diag(s) V^T`.
///
/// # Errors
/// Those of the host.
pub fn component_scores(
    svd: [&Tensor; 3],
    curvature: &Curvature,
    lambda: f64,
    host: &mut Host,
) -> Result<Vec<f64>, PluginError> {
    let [u, s, v] = svd;
    let (gu, av) = (host.matmul(&curvature.output, u)?, host.matmul(&curvature.input, v)?);
    let dv = host.matmul(&curvature.gradient, v)?;
    let (gu, av, udv) = (one_norms(&gu, 0, host)?, one_norms(&av, 0, host)?, products(u, &dv, 0, host)?);
    let factors = gu.iter().zip(&av).zip(&udv);
    let scores = values(s, host)?.into_iter().zip(factors);
    Ok(scores.map(|(s, ((gu, av), udv))| s * gu * av + lambda * s * udv).collect())
}

/// The score of zeroing each row (`rows`), or each column, of `W`.
///
/// # Errors
/// Those of the host.
pub fn channel_scores(
    weight: &Tensor,
    rows: bool,
    curvature: &Curvature,
    lambda: f64,
    host: &mut Host,
) -> Result<Vec<f64>, PluginError> {
    // Sums run along the other dimension of the weight.
    let along = usize::from(rows);
    let (outer, inner) = if rows {
        let inner = host.matmul(weight, &curvature.input)?;
        (one_norms(&curvature.output, 0, host)?, inner)
    } else {
        let inner = host.matmul(&curvature.output, weight)?;
        (one_norms(&curvature.input, 0, host)?, inner)
    };
    let (inner, gradient) = (one_norms(&inner, along, host)?, products(&curvature.gradient, weight, along, host)?);
    let factors = outer.iter().zip(&inner).zip(&gradient);
    Ok(factors.map(|((outer, inner), gradient)| outer * inner + lambda * gradient).collect())
}

/// The score of leaving the whole matrix out: `||G W A||_1 + lambda <D, W>`.
///
/// # Errors
/// Those of the host.
pub fn matrix_score(weight: &Tensor, curvature: &Curvature, lambda: f64, host: &mut Host) -> Result<f64, PluginError> {
    let gw = host.matmul(&curvature.output, weight)?;
    let gwa = host.matmul(&gw, &curvature.input)?;
    let change: f64 = one_norms(&gwa, 0, host)?.into_iter().sum();
    let gradient: f64 = products(&curvature.gradient, weight, 0, host)?.into_iter().sum();
    Ok(change + lambda * gradient)
}
