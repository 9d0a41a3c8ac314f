//! Truncations of the host beside those of the contract's fake host, which has algebra of its own.

use crate::{Arena, NoQuestions, Services};
use scaleot_plugin_api::{ErrorCode, Host, PluginError, RankCut, TruncatedSvd, WeightForm};
use scaleot_plugin_conformance::FakeHost;
use scaleot_tensor::{NormalStream, Tensor};
use std::rc::Rc;

const SHAPES: [[usize; 2]; 4] = [[24, 24], [8, 24], [24, 8], [1, 5]];

fn values(shape: [usize; 2]) -> Vec<f32> {
    NormalStream::new(5, 0).tensor(&shape.map(|size| size as i64), 1.0).unwrap().to_vec_f32().unwrap()
}

/// Shapes of the tensors, product, singular values.
type Shown = (Vec<Vec<usize>>, Vec<f32>, Vec<f32>);

/// Each shape at half its rank and at its whole rank, dense and factored.
fn truncations(host: &mut Host) -> Vec<Shown> {
    let weights = SHAPES.map(|shape| host.from_f32(&values(shape), &shape).unwrap());
    let mut cuts = Vec::new();
    for (weight, [rows, cols]) in weights.iter().zip(SHAPES) {
        let full = rows.min(cols);
        for (rank, factored) in [(full.div_ceil(2), false), (full.div_ceil(2), true), (full, false), (full, true)] {
            cuts.push(RankCut::new("a weight", weight, rank, factored));
        }
    }
    let made = host.truncated_svds(&cuts).unwrap();
    made.into_iter().map(|svd| shown(&svd, host)).collect()
}

fn shown(svd: &TruncatedSvd, host: &mut Host) -> Shown {
    let singular_values = host.to_f32(&svd.singular_values).unwrap();
    match &svd.form {
        WeightForm::Dense { weight } => {
            (vec![host.shape(weight).unwrap()], host.to_f32(weight).unwrap(), singular_values)
        }
        WeightForm::Factored { left, right } => {
            let product = host.matmul(left, right).unwrap();
            let shapes = vec![host.shape(left).unwrap(), host.shape(right).unwrap()];
            (shapes, host.to_f32(&product).unwrap(), singular_values)
        }
    }
}

fn with_host<R>(test: impl FnOnce(&mut Host) -> R) -> R {
    let (arena, mut questions) = (Rc::new(Arena::default()), NoQuestions);
    let mut services = Services::new(&arena, &mut questions);
    let made = test(&mut Host::new(&mut services));
    assert!(arena.is_empty(), "every tensor is released");
    made
}

#[test]
fn the_host_and_the_fake_host_agree() {
    let ours = with_host(truncations);
    let expected = truncations(&mut FakeHost::toy(2, 4).host());
    let close = |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-5);
    assert_eq!(ours.len(), 16);
    for (ours, expected) in ours.iter().zip(&expected) {
        assert_eq!(ours.0, expected.0);
        assert!(close(&ours.1, &expected.1) && close(&ours.2, &expected.2), "{ours:?} {expected:?}");
    }
}

#[test]
fn what_cannot_be_truncated_is_refused_by_name() {
    let refused = |values: &[f32], shape: &[usize], rank| -> PluginError {
        with_host(|host| {
            let weight = host.from_f32(values, shape).unwrap();
            let cut = RankCut::new("attention.q of layer 3", &weight, rank, false);
            host.truncated_svds(&[cut]).map(drop).unwrap_err()
        })
    };
    let nan = refused(&[1.0, f32::NAN, 0.0, 1.0], &[2, 2], 1);
    let expected = "attention.q of layer 3 has a value that is not finite";
    assert_eq!((nan.code, nan.message.as_str()), (ErrorCode::Numeric, expected));
    let rank = refused(&[0.0; 4], &[2, 2], 3);
    let expected = "attention.q of layer 3 is [2, 2] and cannot keep the rank 3, expected 1 to 2";
    assert_eq!((rank.code, rank.message.as_str()), (ErrorCode::Host, expected));
    assert_eq!(refused(&[0.0; 4], &[4], 1).message, "attention.q of layer 3 has the shape [4], expected a matrix");
}

#[test]
fn a_weight_in_half_precision_comes_back_in_it() {
    let plain = Tensor::from_f32(&values([24, 24]), &[24, 24]).unwrap();
    let half = plain.to_dtype(scaleot_tensor::Dtype::BF16).unwrap();
    let done = half.truncated_svd(12, true).unwrap();
    let scaleot_tensor::WeightForm::Factored { left, right } = done.nearest else { panic!("a product") };
    assert_eq!([left.dtype(), right.dtype()], [scaleot_tensor::Dtype::BF16; 2]);
    assert_eq!(done.singular_values.dtype(), scaleot_tensor::Dtype::F32);
}
