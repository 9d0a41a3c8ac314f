//! Reduced-rank regression on data whose best map is known, computed a second way from the data themselves.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used)]

use nalgebra::{DMatrix, SymmetricEigen};
use plugin_scaleot::{ReducedRank, TwoLayers};
use scaleot_plugin_api::{Host, LayerMoments, Tensor};
use scaleot_plugin_conformance::FakeHost;

/// Width, tokens.
const D: usize = 4;
const N: usize = 64;

/// Inputs `[D, N]` of unequal spread and with a mean, and the changes of a layer: linear, and a little that is not.
fn data() -> (DMatrix<f64>, DMatrix<f64>) {
    let x = DMatrix::from_fn(D, N, |row, token| {
        let wave = ((row + 1) * (token + 1)) as f64 * 0.7;
        (1.0 + row as f64) * wave.sin() + 0.5 * row as f64 + 0.2 * (token as f64 * 1.3).cos()
    });
    let a = DMatrix::from_fn(D, D, |row, column| ((row * D + column) as f64 * 1.1).cos());
    let change = &a * &x + DMatrix::from_fn(D, N, |row, token| 3.0 + 0.1 * ((row + token * token) as f64).sin());
    (x, change)
}

fn centred(values: &DMatrix<f64>) -> DMatrix<f64> {
    let mean = values.column_mean();
    DMatrix::from_fn(values.nrows(), values.ncols(), |row, column| values[(row, column)] - mean[row])
}

fn put(values: &DMatrix<f64>, shape: &[usize], host: &mut Host) -> Tensor {
    // nalgebra stores columns, the contract rows.
    let rows: Vec<f32> = values.transpose().iter().map(|value| *value as f32).collect();
    host.from_f32(&rows, shape).unwrap()
}

fn get(tensor: &Tensor, host: &mut Host) -> DMatrix<f64> {
    let shape = host.shape(tensor).unwrap();
    let values = host.to_f32(tensor).unwrap().into_iter().map(f64::from);
    DMatrix::from_row_iterator(shape[0], shape.get(1).copied().unwrap_or(1), values)
}

fn moments(host: &mut Host) -> LayerMoments {
    let (x, change) = data();
    let (x0, change0) = (centred(&x), centred(&change));
    LayerMoments::new(
        put(&DMatrix::from_column_slice(D, 1, x.column_mean().as_slice()), &[D], host),
        put(&DMatrix::from_column_slice(D, 1, change.column_mean().as_slice()), &[D], host),
        put(&(&x0 * x0.transpose() / N as f64), &[D, D], host),
        put(&(&change0 * x0.transpose() / N as f64), &[D, D], host),
    )
}

/// The least that any map of rank `rank` misses, per token: what least squares misses, and the energy of the fitted values past
/// the rank.
fn least_error(rank: usize) -> f64 {
    let (x, change) = data();
    let (x0, change0) = (centred(&x), centred(&change));
    let fitted = &change0 * x0.transpose() * (&x0 * x0.transpose()).try_inverse().unwrap() * &x0;
    let mut energies = SymmetricEigen::new(&fitted * fitted.transpose()).eigenvalues.as_slice().to_vec();
    energies.sort_by(|a, b| b.total_cmp(a));
    ((change0 - fitted).norm_squared() + energies[rank..].iter().sum::<f64>()) / N as f64
}

fn error_of(map: &DMatrix<f64>) -> f64 {
    let (x, change) = data();
    (centred(&change) - map * centred(&x)).norm_squared() / N as f64
}

#[test]
fn no_map_of_the_rank_misses_less() {
    let mut fake = FakeHost::toy(1, D);
    let host = &mut fake.host();
    let moments = moments(host);
    for rank in 1..=D {
        let found = ReducedRank::of(&moments, rank, 0.0, host).unwrap();
        let (inner, outer) = (get(&found.inner, host), get(&found.outer, host));
        assert_eq!((inner.shape(), outer.shape()), ((rank, D), (D, rank)));
        assert!((outer.transpose() * &outer - DMatrix::identity(rank, rank)).norm() < 1e-5);
        let (error, least) = (error_of(&(&outer * &inner)), least_error(rank));
        assert!((error - least).abs() < 1e-3 * least, "rank {rank}: {error}, expected {least}");
    }
    assert!(least_error(1) > 2.0 * least_error(2), "the ranks are told apart");
    let wide = ReducedRank::of(&moments, 9, 0.0, host).unwrap();
    assert_eq!(host.shape(&wide.inner).unwrap(), [D, D], "no more than the width");
}

#[test]
fn a_ridge_shrinks_the_map() {
    let mut fake = FakeHost::toy(1, D);
    let host = &mut fake.host();
    let moments = moments(host);
    let mut size = |ridge| {
        let map = ReducedRank::of(&moments, 2, ridge, host).unwrap();
        get(&map.inner, host).norm()
    };
    assert!(size(1.0) < 0.9 * size(0.0) && size(1e-4) > 0.99 * size(0.0));
}

/// `up relu(down x + down_bias) + up_bias` for all tokens, `[D, N]`.
fn run(parts: &TwoLayers, host: &mut Host) -> DMatrix<f64> {
    let (x, _) = data();
    let [down, down_bias, up, up_bias] =
        [&parts.down, &parts.down_bias, &parts.up, &parts.up_bias].map(|tensor| get(tensor, host));
    let ones = DMatrix::from_element(1, N, 1.0);
    let hidden = (down * x + down_bias * &ones).map(|unit| unit.max(0.0));
    up * hidden + up_bias * ones
}

#[test]
fn an_open_relu_passes_the_map_on() {
    let mut fake = FakeHost::toy(1, D);
    let host = &mut fake.host();
    let moments = moments(host);
    let map = ReducedRank::of(&moments, 2, 0.0, host).unwrap();
    let (x, change) = data();
    let mean = DMatrix::from_fn(D, N, |row, _| change.column_mean()[row]);
    let linear = get(&map.outer, host) * get(&map.inner, host) * centred(&x) + mean;
    let parts = map.through_relu(&moments, 10.0, host).unwrap();
    let found = run(&parts, host);
    assert!((&found - &linear).norm() < 1e-4 * linear.norm(), "{found} against {linear}");
    let (down, up) = (get(&parts.down, host), get(&parts.up, host));
    let covariance = get(&moments.input_covariance, host);
    for unit in 0..2 {
        let deviation = (down.row(unit) * &covariance * down.row(unit).transpose())[0].sqrt();
        assert!((deviation - up.column(unit).norm()).abs() < 1e-4, "both matrices are of one size");
    }
    let closed = map.through_relu(&moments, 0.0, host).unwrap();
    assert!((run(&closed, host) - linear).norm() > 1.0, "without an opening the ReLU cuts");
    let wide = parts.widened(5, host).unwrap();
    assert_eq!((host.shape(&wide.down).unwrap(), host.shape(&wide.up).unwrap()), (vec![5, D], vec![D, 5]));
    assert_eq!(run(&wide, host), found);
    let same = wide.widened(3, host).unwrap();
    assert_eq!(host.shape(&same.down_bias).unwrap(), [5], "never narrower");
}
