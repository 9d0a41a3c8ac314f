//! Learned rounding on small matrices: against every possible rounding of a row, and what holds for any matrix.

use adaround::rounding::{Descent, Grid, learned, output_error};
use scaleot_plugin_api::tch::{Kind, Tensor, no_grad};

const DESCENT: Descent = Descent { steps: 400, learning_rate: 0.03, regularisation: 10.0 };

/// A row of 10 weights, the largest exactly 7 steps, and inputs that often come together, so that errors of one sign add up.
fn example() -> (Tensor, Tensor) {
    let weight = [0.70_f32, 0.132, 0.148, -0.063, 0.237, 0.361, -0.474, 0.225, 0.018, -0.329];
    let weight = Tensor::from_slice(&weight).reshape([1, 10]);
    let options = (Kind::Float, weight.device());
    let apart = Tensor::from_slice(&[0.9_f32, 0.3, 0.5, 0.8, 0.2, 0.6, 0.4, 0.7, 1.0, 0.1]).diag(0);
    (weight, apart + Tensor::ones([10, 10], options))
}

fn error(rounded: &Tensor, weight: &Tensor, moments: &Tensor) -> f64 {
    output_error(&(rounded - weight), moments).double_value(&[])
}

#[test]
fn it_finds_one_of_the_best_of_all_roundings() {
    let (weight, moments) = example();
    let (bits, step) = (4, 0.70 / 7.0);
    let below = (&weight / step).floor();
    let candidate = |pattern: i64| {
        let up: Vec<f32> = (0..10).map(|bit| ((pattern >> bit) & 1) as f32).collect();
        (&below + Tensor::from_slice(&up)).clamp(-7.0, 7.0) * step
    };
    let all: Vec<f64> = (0..1024).map(|pattern| error(&candidate(pattern), &weight, &moments)).collect();
    let best = all.iter().copied().fold(f64::INFINITY, f64::min);
    let nearest = error(&Grid::of(&weight, bits).nearest(&weight), &weight, &moments);
    let found = error(&learned(&weight, &moments, bits, DESCENT).unwrap(), &weight, &moments);
    let better = |than: f64| all.iter().filter(|&&error| error < than * 0.999).count();
    assert!(better(nearest) > 100, "the example must tell them apart: {nearest} {best}");
    assert!(better(found) < 50, "{} of 1024 are better: found {found}, best {best}, nearest {nearest}", better(found));
}

#[test]
fn every_weight_goes_to_a_neighbouring_step_and_never_worse_than_nearest() {
    scaleot_plugin_api::tch::manual_seed(7);
    for bits in [2_u32, 3, 4, 8] {
        let weight = Tensor::randn([6, 10], (Kind::Float, scaleot_plugin_api::tch::Device::Cpu));
        let inputs = Tensor::randn([40, 10], (Kind::Float, scaleot_plugin_api::tch::Device::Cpu));
        let moments = inputs.tr().matmul(&inputs) / 40.0;
        let rounded = learned(&weight, &moments, bits, DESCENT).unwrap();
        let limit = f64::from((1_u32 << (bits - 1)) - 1);
        let step = weight.abs().amax([1], true) / limit;
        let off = (&rounded / &step - (&rounded / &step).round()).abs().max().double_value(&[]);
        assert!(off < 1e-4, "{bits} bits: {off} of a step off the grid");
        let far = ((&rounded - &weight).abs() / &step).max().double_value(&[]);
        assert!(far < 1.0 + 1e-4, "{bits} bits: {far} steps away");
        let nearest = error(&Grid::of(&weight, bits).nearest(&weight), &weight, &moments);
        assert!(error(&rounded, &weight, &moments) <= nearest);
    }
}

#[test]
fn it_learns_though_the_caller_records_nothing_and_leaves_that_so() {
    let (weight, moments) = example();
    let alone = learned(&weight, &moments, 4, DESCENT).unwrap();
    let inside = no_grad(|| {
        let rounded = learned(&weight, &moments, 4, DESCENT).unwrap();
        let probe = (weight.set_requires_grad(true) * 2.0).requires_grad();
        assert!(!probe, "recording is off again");
        rounded
    });
    assert_eq!(Vec::<f32>::try_from(alone.flatten(0, 1)).unwrap(), Vec::<f32>::try_from(inside.flatten(0, 1)).unwrap());
    assert!(!inside.requires_grad());
}

#[test]
fn zeros_stay_zeros() {
    let (_, moments) = example();
    let zeros = Tensor::zeros([3, 10], (Kind::Float, scaleot_plugin_api::tch::Device::Cpu));
    assert_eq!(learned(&zeros, &moments, 4, DESCENT).unwrap().abs().max().double_value(&[]), 0.0);
}
