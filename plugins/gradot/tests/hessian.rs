//! The closed forms against finite differences of a toy's gradient: `L(W) = mean_t 1/2 (W x_t - y_t)^T M (W x_t - y_t)`.
//!
//! Here the Hessian is exactly `M (x) E[x x^T]`, so `G = M`, `A = E[x x^T]`, `D = dL/dW`, and
//! `H Delta = (D(W + e Delta) - D(W - e Delta)) / 2e` without error but rounding.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used)]

use gradot::{GradientPreserving, GradientPreservingOptions, channel_scores, component_scores, matrix_score};
use nalgebra::DMatrix;
use scaleot_plugin_api::{Compressor, Curvature, Host, Strategy, Tensor, WeightForm, WeightRole};
use scaleot_plugin_conformance::FakeHost;

const LAMBDA: f64 = 0.7;

struct Toy {
    weight: DMatrix<f64>,
    inputs: DMatrix<f64>,
    targets: DMatrix<f64>,
    metric: DMatrix<f64>,
}

impl Toy {
    fn new() -> Self {
        let wave =
            |rows, cols, step: f64| DMatrix::from_fn(rows, cols, |r, c| ((r * cols + c) as f64 * step + 0.3).sin());
        let root = wave(3, 3, 1.7);
        let metric = &root * root.transpose() + DMatrix::identity(3, 3) * 0.1;
        Self { weight: wave(3, 5, 0.9), inputs: wave(5, 40, 2.3), targets: wave(3, 40, 0.77), metric }
    }

    /// `D` at any weight, from its definition.
    fn gradient(&self, weight: &DMatrix<f64>) -> DMatrix<f64> {
        let residual = weight * &self.inputs - &self.targets;
        &self.metric * residual * self.inputs.transpose() / 40.0
    }

    /// The score by finite differences.
    fn score(&self, change: &DMatrix<f64>) -> f64 {
        let (step, at) = (1e-3, &self.weight);
        let above = self.gradient(&(at + change * step));
        let below = self.gradient(&(at - change * step));
        let hessian_times_change = (above - below) / (2.0 * step);
        hessian_times_change.abs().sum() - LAMBDA * self.gradient(at).dot(change)
    }

    fn curvature(&self, host: &mut Host) -> Curvature {
        let covariance = &self.inputs * self.inputs.transpose() / 40.0;
        Curvature::new(
            tensor(&covariance, host),
            tensor(&self.metric, host),
            tensor(&self.gradient(&self.weight), host),
        )
    }
}

fn tensor(matrix: &DMatrix<f64>, host: &mut Host) -> Tensor {
    let values: Vec<f32> = matrix.transpose().iter().map(|&value| value as f32).collect();
    host.from_f32(&values, &[matrix.nrows(), matrix.ncols()]).unwrap()
}

fn close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() < 1e-4 * expected.abs().max(1.0), "{what}: {found} {expected}");
}

#[test]
fn a_dropped_component() {
    let (toy, mut fake) = (Toy::new(), FakeHost::toy(1, 4));
    let mut host = fake.host();
    let curvature = toy.curvature(&mut host);
    let weight = tensor(&toy.weight, &mut host);
    let [u, s, v] = host.svd(&weight).unwrap();
    let found = component_scores([&u, &s, &v], &curvature, LAMBDA, &mut host).unwrap();
    let parts = toy.weight.clone().svd(true, true);
    let (left, right) = (parts.u.unwrap(), parts.v_t.unwrap());
    assert_eq!(found.len(), 3);
    for (k, found) in found.into_iter().enumerate() {
        let change = left.column(k) * right.row(k) * -parts.singular_values[k];
        close(found, toy.score(&change), &format!("component {k}"));
    }
}

#[test]
fn a_zeroed_row_or_column_and_the_whole_matrix() {
    let (toy, mut fake) = (Toy::new(), FakeHost::toy(1, 4));
    let mut host = fake.host();
    let curvature = toy.curvature(&mut host);
    let weight = tensor(&toy.weight, &mut host);
    let rows = channel_scores(&weight, true, &curvature, LAMBDA, &mut host).unwrap();
    for (row, found) in rows.into_iter().enumerate() {
        let mut change = DMatrix::zeros(3, 5);
        change.set_row(row, &-toy.weight.row(row));
        close(found, toy.score(&change), &format!("row {row}"));
    }
    let columns = channel_scores(&weight, false, &curvature, LAMBDA, &mut host).unwrap();
    for (column, found) in columns.into_iter().enumerate() {
        let mut change = DMatrix::zeros(3, 5);
        change.set_column(column, &-toy.weight.column(column));
        close(found, toy.score(&change), &format!("column {column}"));
    }
    let whole = matrix_score(&weight, &curvature, LAMBDA, &mut host).unwrap();
    close(whole, toy.score(&-toy.weight.clone()), "the whole matrix");
}

#[test]
fn budgets_are_kept_and_channels_go_together() {
    let mut fake = FakeHost::toy(2, 40);
    let mut layer = fake.layer_weights(1);
    let options = GradientPreservingOptions { attention_ratio: 0.5, mlp_ratio: 0.25, windows: 4, ..Default::default() };
    let report = GradientPreserving::new(options).unwrap().compress(&mut layer, &mut fake.host()).unwrap();
    // 0.5 x 1600 / 80.
    assert!(report.matrices[..4].iter().all(|matrix| (matrix.rank, matrix.full_rank) == (10, 40)));
    let mut channels: Vec<Vec<usize>> = Vec::new();
    for (role, form) in layer.into_changed() {
        let WeightForm::Dense { weight } = form else {
            assert!(WeightRole::ATTENTION.contains(&role));
            continue;
        };
        let (shape, values) = (fake.host().shape(&weight).unwrap(), fake.host().to_f32(&weight).unwrap());
        let matrix = DMatrix::from_row_iterator(shape[0], shape[1], values);
        let matrix = if role == WeightRole::MlpDown { matrix.transpose() } else { matrix };
        channels.push((0..80).filter(|&row| matrix.row(row).iter().all(|value| *value == 0.0)).collect());
    }
    assert_eq!(channels.len(), 3);
    assert!(channels.iter().all(|gone| gone.len() == 60 && *gone == channels[0]), "{channels:?}");
}
