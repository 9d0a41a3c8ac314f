//! Selective rank compression against its definition (section 3.4), on matrices of every shape that attention has.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used)]

use nalgebra::DMatrix;
use plugin_scaleot::{Modules, SelectiveRank, SelectiveRankOptions, Storage};
use scaleot_plugin_api::{
    CompressionReport, Compressor, ErrorCode, LayerOutline, LayerWeights, ModelOutline, Strategy, Tensor, WeightForm,
    WeightOutline, WeightRole, strategy_from_json,
};
use scaleot_plugin_conformance::FakeHost;

const HIDDEN: usize = 12;
/// One key-value head of width 4: k and v are `[4, 12]`.
const KV_WIDTH: usize = 4;

fn grouped_query_host() -> FakeHost {
    let mut model = ModelOutline::toy(2, HIDDEN);
    for weight in model.layers.iter_mut().flat_map(|layer| &mut layer.weights) {
        if matches!(weight.role, WeightRole::AttentionK | WeightRole::AttentionV) {
            weight.shape = vec![KV_WIDTH, HIDDEN];
        }
    }
    FakeHost::with_outline(model, 1)
}

fn options(rank_ratio: f64) -> SelectiveRankOptions {
    SelectiveRankOptions { rank_ratio, ..SelectiveRankOptions::default() }
}

fn matrix(fake: &mut FakeHost, tensor: &Tensor) -> DMatrix<f64> {
    let mut host = fake.host();
    let shape = host.shape(tensor).unwrap();
    let values = host.to_f32(tensor).unwrap();
    DMatrix::from_row_iterator(shape[0], shape[1], values.into_iter().map(f64::from))
}

/// The outcome of a compression: form and product by role, beside the original.
struct Outcome {
    fake: FakeHost,
    originals: Vec<(WeightRole, DMatrix<f64>)>,
    changed: Vec<(WeightRole, WeightForm)>,
    report: CompressionReport,
}

fn compress_with(options: SelectiveRankOptions, mut fake: FakeHost) -> Outcome {
    let mut layer = fake.layer_weights(1);
    let matrices = layer.roles().into_iter().filter(|role| role.is_matrix());
    let originals = matrices.map(|role| (role, matrix(&mut fake, layer.get(role).unwrap()))).collect();
    let mut strategy = SelectiveRank::new(options).unwrap();
    let report = strategy.compress(&mut layer, &mut fake.host()).unwrap();
    Outcome { fake, originals, changed: layer.into_changed(), report }
}

fn compress(options: SelectiveRankOptions) -> Outcome {
    compress_with(options, grouped_query_host())
}

impl Outcome {
    fn original(&self, role: WeightRole) -> DMatrix<f64> {
        self.originals.iter().find(|(r, _)| *r == role).unwrap().1.clone()
    }

    fn product(&mut self, role: WeightRole) -> DMatrix<f64> {
        match &self.changed.iter().find(|(r, _)| *r == role).unwrap().1 {
            WeightForm::Dense { weight } => matrix(&mut self.fake, weight),
            WeightForm::Factored { left, right } => matrix(&mut self.fake, left) * matrix(&mut self.fake, right),
        }
    }

    fn roles(&self) -> Vec<WeightRole> {
        self.changed.iter().map(|(role, _)| *role).collect()
    }

    fn factored(&self, role: WeightRole) -> bool {
        self.changed.iter().any(|(r, form)| *r == role && matches!(form, WeightForm::Factored { .. }))
    }
}

/// Sum of the squares of all singular values but the largest `rank`.
fn dropped_energy(matrix: &DMatrix<f64>, rank: usize) -> f64 {
    matrix.singular_values().iter().skip(rank).map(|value| value * value).sum()
}

#[test]
fn the_error_is_the_energy_of_what_was_dropped() {
    for storage in [Storage::Smaller, Storage::Dense, Storage::Factored] {
        for rank_ratio in [0.1, 0.25, 0.5, 0.8, 0.99] {
            let mut outcome = compress(SelectiveRankOptions { storage, ..options(rank_ratio) });
            for report in outcome.report.matrices.clone() {
                let (original, product) = (outcome.original(report.role), outcome.product(report.role));
                let (found, expected) = ((&original - &product).norm_squared(), dropped_energy(&original, report.rank));
                assert!((found - expected).abs() < 1e-4 * original.norm_squared(), "{found} against {expected}");
                let share = expected / original.norm_squared();
                assert!((report.residual_energy - share).abs() < 1e-5, "{report:?}, expected {share}");
                assert_eq!(product.rank(1e-4), report.rank, "{report:?}");
            }
        }
    }
}

#[test]
fn the_rank_is_the_floor_of_a_share_of_the_smaller_side_and_at_least_one() {
    let ranks = |rank_ratio| {
        let report = compress(options(rank_ratio)).report;
        report.matrices.iter().map(|matrix| (matrix.rank, matrix.full_rank)).collect::<Vec<_>>()
    };
    // q, k, v, o: k and v are rectangular.
    assert_eq!(ranks(0.8), [(9, 12), (3, 4), (3, 4), (9, 12)]);
    assert_eq!(ranks(0.5), [(6, 12), (2, 4), (2, 4), (6, 12)]);
    assert_eq!(ranks(0.99), [(11, 12), (3, 4), (3, 4), (11, 12)]);
    assert_eq!(ranks(0.2), [(2, 12), (1, 4), (1, 4), (2, 12)], "0.8 of a rank is none, but one stays");
    assert_eq!(ranks(1e-9), [(1, 12), (1, 4), (1, 4), (1, 12)]);
}

#[test]
fn a_ratio_of_one_changes_nothing() {
    for storage in [Storage::Smaller, Storage::Dense, Storage::Factored] {
        let outcome = compress(SelectiveRankOptions { storage, ..options(1.0) });
        assert!(outcome.changed.is_empty());
        assert!(outcome.report.matrices.iter().all(|m| m.rank == m.full_rank && m.residual_energy == 0.0));
    }
}

#[test]
fn only_the_chosen_matrices_are_touched() {
    let roles = |modules| compress(SelectiveRankOptions { modules, ..options(0.5) }).roles();
    assert_eq!(compress(options(0.5)).roles(), WeightRole::ATTENTION, "feed-forward and norms are whole by default");
    assert_eq!(roles(Modules::Attention), WeightRole::ATTENTION);
    assert_eq!(roles(Modules::Mlp), WeightRole::MLP);
    assert_eq!(roles(Modules::Both), [&WeightRole::ATTENTION[..], &WeightRole::MLP[..]].concat());
}

#[test]
fn factors_are_stored_only_where_they_are_smaller() {
    let factored = |storage, rank_ratio| {
        let outcome = compress(SelectiveRankOptions { storage, ..options(rank_ratio) });
        [WeightRole::AttentionQ, WeightRole::AttentionK].map(|role| outcome.factored(role))
    };
    // q: r (12 + 12) < 144 up to r = 5; k: r (4 + 12) < 48 up to r = 2.
    assert_eq!(factored(Storage::Smaller, 0.45), [true, true], "ranks 5 and 1");
    assert_eq!(factored(Storage::Smaller, 0.5), [false, true], "ranks 6 and 2: equal size stays dense");
    assert_eq!(factored(Storage::Smaller, 0.8), [false, false], "ranks 9 and 3");
    assert_eq!(factored(Storage::Dense, 0.1), [false, false]);
    assert_eq!(factored(Storage::Factored, 0.8), [true, true]);
}

#[test]
fn nothing_is_leaked() {
    let Outcome { mut fake, changed, .. } = compress(options(0.3));
    let held: usize =
        changed.iter().map(|(_, form)| if matches!(form, WeightForm::Factored { .. }) { 2 } else { 1 }).sum();
    assert_eq!(fake.live_tensors(), held);
    drop(changed);
    assert_eq!(fake.live_tensors(), 0);
}

#[test]
fn a_ratio_that_is_no_share_is_refused_by_name() {
    for rank_ratio in ["0.0", "-0.5", "1.000001"] {
        let options = format!("{{\"rank_ratio\": {rank_ratio}}}");
        let error = strategy_from_json::<SelectiveRank>(options.as_bytes()).map(drop).unwrap_err();
        assert_eq!(error.code, ErrorCode::Options);
        let expected = format!("rank_ratio is {rank_ratio}, expected a number above 0.0 and at most 1.0");
        assert_eq!(error.message, expected);
    }
}

#[test]
fn what_cannot_be_factorised_is_an_error() {
    let mut fake = FakeHost::toy(2, 4);
    let mut compress = |values: &[f32], shape: &[usize]| {
        let role = WeightRole::AttentionQ;
        let weights = vec![WeightOutline::new(role, shape.to_vec(), false)];
        let weight = fake.host().from_f32(values, shape).unwrap();
        let mut layer = LayerWeights::new(LayerOutline::new(0, 4, weights), vec![(role, weight)]);
        SelectiveRank::new(options(0.5)).unwrap().compress(&mut layer, &mut fake.host())
    };
    assert_eq!(compress(&[f32::NAN, 1.0, 2.0, 3.0], &[2, 2]).unwrap_err().code, ErrorCode::Numeric);
    let flat = compress(&[1.0; 4], &[4]).unwrap_err();
    assert_eq!(flat.message, "attention.q has the shape [4], expected a matrix");
    assert_eq!(compress(&[], &[0, 4]).unwrap().matrices[0].rank, 0, "a matrix of no rows has no rank to lose");
}
