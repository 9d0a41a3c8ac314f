//! Truncations against libtorch's SVD in fp64, on spectra that are kind to fp32 and on one that is not.

use super::{Cut, SMALL, Spectrum, TruncatedSvd, WeightForm, error_bound, truncated_svds};
use crate::{Dtype, NormalStream, Tensor, set_threads, threads};

/// `U diag(S) Vᵀ` with random orthonormal `U` and `V`, fp64.
fn with_spectrum(rows: i64, cols: i64, singular_values: &[f32]) -> Tensor {
    let k = singular_values.len() as i64;
    let orthonormal = |size, seed| {
        let random = NormalStream::new(seed, 0).tensor(&[size, k], 1.0).unwrap();
        random.to_dtype(Dtype::F64).unwrap().qr().unwrap().0
    };
    let s = Tensor::from_f32(singular_values, &[k]).unwrap().to_dtype(Dtype::F64).unwrap();
    let scaled = orthonormal(rows, 1).mul(&s).unwrap();
    scaled.matmul(&orthonormal(cols, 2).transpose(0, 1).unwrap()).unwrap()
}

/// From `high` to `low`, evenly in the logarithm.
fn geometric(count: usize, high: f32, low: f32) -> Vec<f32> {
    (0..count).map(|i| high * (low / high).powf(i as f32 / (count - 1) as f32)).collect()
}

/// One large value over an even tail: the tail drowns in the rounding of the large one.
fn steep(count: usize) -> Vec<f32> {
    let tail = (1..count).map(|i| 1e-3 * (1.5 - i as f32 / count as f32));
    std::iter::once(1.0).chain(tail).collect()
}

fn norm(a: &Tensor) -> f64 {
    a.to_dtype(Dtype::F64).unwrap().norm().unwrap().to_f64().unwrap()
}

fn product(svd: &TruncatedSvd) -> Tensor {
    let wide = |t: &Tensor| t.to_dtype(Dtype::F64).unwrap();
    match &svd.nearest {
        WeightForm::Dense(product) => wide(product),
        WeightForm::Factored { left, right } => wide(left).matmul(&wide(right)).unwrap(),
    }
}

/// The truncated product of libtorch's SVD in fp64.
fn expected(weight: &Tensor, rank: i64) -> Tensor {
    let svd = weight.to_dtype(Dtype::F64).unwrap().svd().unwrap();
    let u = svd.u.narrow(1, 0, rank).unwrap().mul(&svd.s.narrow(0, 0, rank).unwrap()).unwrap();
    u.matmul(&svd.v.narrow(1, 0, rank).unwrap().transpose(0, 1).unwrap()).unwrap()
}

/// Relative difference to [`expected`], and that of the error to the energy of the dropped values.
#[track_caller]
fn check(weight: &Tensor, rank: i64, factored: bool) {
    let done = weight.truncated_svd(rank, factored).unwrap();
    let (found, exact) = (product(&done), expected(weight, rank));
    let difference = norm(&found.sub(&exact).unwrap()) / norm(&exact);
    assert!(difference < 2e-5, "{weight:?} at rank {rank}: the product is off by {difference:.1e}");
    let whole = norm(weight).powi(2);
    let error = norm(&weight.to_dtype(Dtype::F64).unwrap().sub(&found).unwrap()).powi(2);
    let s = done.singular_values.to_vec_f32().unwrap();
    assert!(s.is_sorted_by(|a, b| a >= b));
    let dropped: f64 = s[rank as usize..].iter().map(|&s| f64::from(s).powi(2)).sum();
    assert!((error - dropped).abs() < 1e-6 * whole, "||W - W_r||^2 = {error}, dropped {dropped} of {whole}");
}

#[test]
fn the_product_is_that_of_an_svd_and_its_error_the_energy_that_was_dropped() {
    let kind = geometric(200, 1.0, 0.02);
    for [rows, cols] in [[200, 200], [200, 260], [260, 200]] {
        let weight = with_spectrum(rows, cols, &kind).to_dtype(Dtype::F32).unwrap();
        for (rank, factored) in [(1, false), (40, true), (100, false), (160, false), (160, true), (199, false)] {
            check(&weight, rank, factored);
        }
    }
}

#[test]
fn small_matrices_and_steep_spectra_are_done_in_fp64() {
    for count in [3, SMALL as usize, 200] {
        let weight = with_spectrum(count as i64, count as i64, &steep(count)).to_dtype(Dtype::F32).unwrap();
        check(&weight, (count as i64 * 4 / 5).max(1), false);
    }
}

#[test]
fn the_bound_is_above_the_error_of_fp32_and_refuses_the_steep_spectrum() {
    let off = |spectrum: &[f32]| {
        let weight = with_spectrum(200, 200, spectrum).to_dtype(Dtype::F32).unwrap();
        let rough = Spectrum::of_gram(&weight).unwrap();
        let bound = error_bound(&rough.values.to_vec_f64().unwrap(), 160);
        let found = rough.refine(&weight, 160).unwrap().project(&weight, 160).unwrap();
        let exact = expected(&weight, 160);
        (bound, norm(&found.to_dtype(Dtype::F64).unwrap().sub(&exact).unwrap()) / norm(&exact))
    };
    let (bound, error) = off(&geometric(200, 1.0, 0.02));
    assert!(error < bound && bound < 1e-4, "{error:.1e} {bound:.1e}");
    let (bound, error) = off(&steep(200));
    assert!(error < bound && error > 1e-4, "{error:.1e} {bound:.1e}");
}

#[test]
fn the_rank_is_the_rank_and_a_whole_rank_is_the_matrix() {
    let weight = with_spectrum(150, 180, &geometric(150, 1.0, 0.05)).to_dtype(Dtype::F32).unwrap();
    let left = product(&weight.truncated_svd(60, false).unwrap()).svd().unwrap().s.to_vec_f32().unwrap();
    assert!(left[59] > 0.2 && left[60] < 1e-5, "{} {}", left[59], left[60]);
    let WeightForm::Dense(same) = weight.truncated_svd(150, false).unwrap().nearest else { panic!("factors") };
    assert!(same.equal(&weight).unwrap());
    check(&weight, 150, true);
    let nothing = Tensor::zeros(&[140, 140], Dtype::F32, crate::Device::Cpu).unwrap();
    assert_eq!(norm(&product(&nothing.truncated_svd(20, false).unwrap())), 0.0);
}

#[test]
fn values_without_a_square_in_fp32_are_no_obstacle() {
    let plain = with_spectrum(140, 140, &geometric(140, 1.0, 0.1));
    for scale in [1e-30, 1e30] {
        let weight = plain.mul_scalar(scale).unwrap().to_dtype(Dtype::F32).unwrap();
        let (found, exact) = (product(&weight.truncated_svd(70, false).unwrap()), expected(&weight, 70));
        assert!(norm(&found.sub(&exact).unwrap()) < 1e-6 * norm(&exact), "{scale}");
    }
}

#[test]
fn several_at_once_are_the_same_as_one_after_another_and_the_threads_are_given_back() {
    let cuts = || {
        let shapes = [[130, 140], [20, 30], [150, 135], [9, 9], [140, 140]];
        let weight = |[rows, cols]: [i64; 2]| NormalStream::new(7, rows as u64).tensor(&[rows, cols], 1.0).unwrap();
        shapes.map(|shape| Cut { weight: weight(shape), rank: 5, factored: false }).into_iter().collect::<Vec<_>>()
    };
    let before = threads();
    set_threads(1);
    let alone: Vec<_> = cuts().into_iter().map(|cut| cut.weight.truncated_svd(5, false).unwrap()).collect();
    set_threads(3);
    let together = truncated_svds(cuts());
    assert_eq!(threads(), 3);
    set_threads(before);
    for (alone, together) in alone.iter().zip(together) {
        let difference = norm(&product(alone).sub(&product(&together.unwrap())).unwrap()) / norm(&product(alone));
        assert!(difference < 1e-5, "{difference}");
    }
}
