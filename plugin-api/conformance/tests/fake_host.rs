//! The fake host: its algebra against known values, its refusals, and the model made of numbers.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used)]

use scaleot_plugin_api::services::{self, Service};
use scaleot_plugin_api::{
    ErrorCode, Host, LayerMask, LayerStatistic, Notice, PluginError, RankCut, Tensor, TensorOp, TrainStep,
    TruncatedSvd, WeightForm, WeightRole, unknown_service,
};
use scaleot_plugin_conformance::FakeHost;

fn with_host(test: impl FnOnce(&mut Host) -> Result<(), PluginError>) {
    let mut fake = FakeHost::toy(4, 8);
    test(&mut fake.host()).unwrap();
    assert_eq!(fake.live_tensors(), 0, "every tensor is released");
}

fn check(host: &mut Host, tensor: &Tensor, shape: &[usize], values: &[f32]) {
    assert_eq!(host.shape(tensor).unwrap(), shape);
    let found = host.to_f32(tensor).unwrap();
    let close = found.iter().zip(values).all(|(x, y)| (x - y).abs() <= 1e-5 || x == y);
    assert!(found.len() == values.len() && close, "found {found:?}, expected {values:?}");
}

fn message<T>(outcome: Result<T, PluginError>) -> String {
    let error = outcome.map(drop).unwrap_err();
    assert_eq!(error.code, ErrorCode::Host);
    error.message
}

#[test]
fn arithmetic_broadcasts() {
    with_host(|host| {
        let a = host.from_f32(&[1., 2., 3., 4., 5., 6.], &[2, 3])?;
        let row = host.from_f32(&[10., 20., 30.], &[3])?;
        let column = host.from_f32(&[1., 2.], &[2, 1])?;
        let scalar = host.from_f32(&[2.], &[])?;
        let sum = host.add(&a, &row)?;
        check(host, &sum, &[2, 3], &[11., 22., 33., 14., 25., 36.]);
        let difference = host.sub(&row, &column)?;
        check(host, &difference, &[2, 3], &[9., 19., 29., 8., 18., 28.]);
        let product = host.mul(&a, &column)?;
        check(host, &product, &[2, 3], &[1., 2., 3., 8., 10., 12.]);
        let quotient = host.div(&a, &scalar)?;
        check(host, &quotient, &[2, 3], &[0.5, 1., 1.5, 2., 2.5, 3.]);
        let affine = host.affine(&row, 0.1, -1.0)?;
        check(host, &affine, &[3], &[0., 1., 2.]);
        let cube = host.zeros(&[4, 1, 3])?;
        let cube = host.add(&cube, &a)?;
        assert_eq!(host.shape(&cube)?, [4, 2, 3]);
        let empty = host.zeros(&[0, 3])?;
        let empty = host.add(&empty, &row)?;
        check(host, &empty, &[0, 3], &[]);
        Ok(())
    });
}

#[test]
fn matrices_and_views() {
    with_host(|host| {
        let a = host.from_f32(&[1., 2., 3., 4., 5., 6.], &[2, 3])?;
        let t = host.transpose(&a)?;
        check(host, &t, &[3, 2], &[1., 4., 2., 5., 3., 6.]);
        let gram = host.matmul(&a, &t)?;
        check(host, &gram, &[2, 2], &[14., 32., 32., 77.]);
        let last = host.narrow(&t, 0, 1, 2)?;
        check(host, &last, &[2, 2], &[2., 5., 3., 6.]);
        let middle = host.narrow(&a, 1, 1, 1)?;
        check(host, &middle, &[2, 1], &[2., 5.]);
        let wide = host.cat(&[&a, &gram, &middle], 1)?;
        check(host, &wide, &[2, 6], &[1., 2., 3., 14., 32., 2., 4., 5., 6., 32., 77., 5.]);
        let tall = host.cat(&[&t, &gram], 0)?;
        check(host, &tall, &[5, 2], &[1., 4., 2., 5., 3., 6., 14., 32., 32., 77.]);
        // More parts than the stack buffer of the call has room for.
        let many = host.cat(&[&a, &a, &a, &a, &a, &a], 0)?;
        assert_eq!(host.shape(&many)?, [12, 3]);
        Ok(())
    });
}

#[test]
fn reductions_and_functions() {
    with_host(|host| {
        let a = host.from_f32(&[1., -2., 3., -4., 5., -6.], &[2, 3])?;
        let (all, rows, columns) = (host.sum(&a, None)?, host.sum(&a, Some(0))?, host.mean(&a, Some(1))?);
        check(host, &all, &[], &[-3.]);
        check(host, &rows, &[3], &[-3., 3., -3.]);
        check(host, &columns, &[2], &[2. / 3., -5. / 3.]);
        let mean = host.mean(&a, None)?;
        check(host, &mean, &[], &[-0.5]);
        assert!((host.norm(&a)? - 91_f64.sqrt()).abs() < 1e-5);
        let abs = host.abs(&a)?;
        check(host, &abs, &[2, 3], &[1., 2., 3., 4., 5., 6.]);
        let squares = host.mul(&a, &a)?;
        let roots = host.sqrt(&squares)?;
        check(host, &roots, &[2, 3], &[1., 2., 3., 4., 5., 6.]);
        let powers = host.exp(&all)?;
        check(host, &powers, &[], &[0.049_787_07]);
        Ok(())
    });
}

#[test]
fn factorisations_give_the_matrix_back() {
    with_host(|host| {
        for shape in [[5, 3], [3, 5], [4, 4]] {
            let a = host.random_normal(&shape, 1.0, 3)?;
            let [u, s, v] = host.svd(&a)?;
            assert_eq!(host.shape(&u)?, [shape[0], shape[0].min(shape[1])]);
            assert_eq!(host.shape(&v)?, [shape[1], shape[0].min(shape[1])]);
            assert!(host.to_f32(&s)?.is_sorted_by(|x, y| x >= y));
            let scaled = host.mul(&u, &s)?;
            let v = host.transpose(&v)?;
            let product = host.matmul(&scaled, &v)?;
            let values = host.to_f32(&a)?;
            check(host, &product, &shape, &values);
        }
        let a = host.from_f32(&[2., 1., 1., 2.], &[2, 2])?;
        let [values, vectors] = host.symmetric_eigen(&a)?;
        check(host, &values, &[2], &[1., 3.]);
        let moved = host.matmul(&a, &vectors)?;
        let scaled = host.mul(&vectors, &values)?;
        let scaled = host.to_f32(&scaled)?;
        check(host, &moved, &[2, 2], &scaled);
        let zeros = host.zeros(&[3, 2])?;
        let [_, s, _] = host.svd(&zeros)?;
        check(host, &s, &[2], &[0., 0.]);
        let nan = host.from_f32(&[f32::NAN; 4], &[2, 2])?;
        assert_eq!(host.svd(&nan).map(drop).unwrap_err().code, ErrorCode::Numeric);
        Ok(())
    });
}

/// `3 e_1 e_1^T + 2 e_2 e_2^T + e_3 e_3^T` with a fourth row or column of zeros.
fn staircase(host: &mut Host, shape: [usize; 2]) -> Tensor {
    let mut values = vec![0.0; shape[0] * shape[1]];
    (0..3).for_each(|i| values[i * shape[1] + i] = 3.0 - i as f32);
    host.from_f32(&values, &shape).unwrap()
}

fn cut(weight: &Tensor, rank: usize, factored: bool) -> RankCut<&Tensor> {
    RankCut::new("the staircase", weight, rank, factored)
}

#[test]
fn truncations_keep_the_largest_singular_values() {
    with_host(|host| {
        let shapes = [[3, 4], [4, 3], [3, 3]];
        let weights = shapes.map(|shape| staircase(host, shape));
        let cuts: Vec<_> = weights.iter().flat_map(|weight| [cut(weight, 2, false), cut(weight, 2, true)]).collect();
        let done = host.truncated_svds(&cuts)?;
        for (shape, pair) in shapes.iter().zip(done.chunks(2)) {
            let mut expected = vec![0.0; shape[0] * shape[1]];
            (expected[0], expected[shape[1] + 1]) = (3.0, 2.0);
            let [TruncatedSvd { form: WeightForm::Dense { weight }, singular_values, .. }, factored] = pair else {
                panic!("not the forms that were asked for: {pair:?}");
            };
            check(host, singular_values, &[3], &[3., 2., 1.]);
            check(host, weight, shape, &expected);
            let WeightForm::Factored { left, right } = &factored.form else { panic!("{factored:?}") };
            assert_eq!((host.shape(left)?, host.shape(right)?), (vec![shape[0], 2], vec![2, shape[1]]));
            // The factor at the shorter side has columns, or rows, of length 1.
            let norms = [host.norm(left)?, host.norm(right)?].map(|norm| norm * norm);
            assert_eq!(norms.map(f64::round), if shape[0] > shape[1] { [13.0, 2.0] } else { [2.0, 13.0] });
            let product = host.matmul(left, right)?;
            check(host, &product, shape, &expected);
        }
        Ok(())
    });
}

#[test]
fn a_truncation_that_cannot_be_is_refused_by_name() {
    with_host(|host| {
        let weight = staircase(host, [3, 4]);
        for rank in [0, 4] {
            let text = message(host.truncated_svds(&[cut(&weight, 1, false), cut(&weight, rank, false)]));
            assert_eq!(text, format!("the staircase is [3, 4] and cannot keep the rank {rank}, expected 1 to 3"));
        }
        let row = host.zeros(&[3])?;
        let text = message(host.truncated_svds(&[cut(&row, 1, false)]));
        assert_eq!(text, "the staircase has the shape [3], expected a matrix");
        let nan = host.from_f32(&[f32::NAN; 4], &[2, 2])?;
        let error = host.truncated_svds(&[cut(&nan, 1, false)]).map(drop).unwrap_err();
        assert_eq!(error.code, ErrorCode::Numeric);
        assert!(error.message.starts_with("the staircase: "), "{error}");
        Ok(())
    });
}

#[test]
fn a_host_without_truncations_says_so() {
    let mut fake = FakeHost::toy(2, 4);
    fake.fail::<services::TruncatedSvds>(unknown_service(services::TruncatedSvds::NAME));
    let weight = staircase(&mut fake.host(), [3, 3]);
    let error = fake.host().truncated_svds(&[cut(&weight, 1, false)]).map(drop).unwrap_err();
    assert_eq!(error.code, ErrorCode::Unsupported);
    assert!(error.to_string().contains("truncated_svds"), "{error}");
}

#[test]
fn seeded_values() {
    with_host(|host| {
        let (a, b) = (host.random_normal(&[40, 50], 2.0, u64::MAX)?, host.random_normal(&[40, 50], 2.0, u64::MAX)?);
        let values = host.to_f32(&a)?;
        assert_eq!(values, host.to_f32(&b)?);
        let deviation = (values.iter().map(|x| x * x).sum::<f32>() / 2000.0).sqrt();
        assert!((1.9..2.1).contains(&deviation), "{deviation}");
        let c = host.random_uniform(&[1000], 0.5, 1)?;
        let values = host.to_f32(&c)?;
        assert!(values.iter().all(|x| (-0.5..0.5).contains(x)) && values.iter().any(|x| x.abs() > 0.49));
        assert_ne!(host.seed("a")?, host.seed("b")?);
        assert_eq!(host.seed("a")?, host.seed("a")?);
        Ok(())
    });
}

#[test]
fn what_does_not_fit_is_refused_with_both_shapes() {
    with_host(|host| {
        let (a, b) = (host.zeros(&[2, 3])?, host.zeros(&[2, 4])?);
        assert_eq!(message(host.add(&a, &b)), "Add does not fit [2, 3] and [2, 4]");
        assert_eq!(message(host.matmul(&a, &b)), "MatMul does not fit [2, 3] and [2, 4]");
        assert_eq!(message(host.cat(&[&a, &b], 0)), "Cat does not fit [2, 3] and [2, 4]");
        assert_eq!(message(host.sum(&a, Some(2))), "Sum does not fit [2, 3]");
        assert_eq!(message(host.symmetric_eigen(&a)), "SymmetricEigen does not fit [2, 3]");
        let narrow = message(host.narrow(&a, 1, 2, 2));
        assert_eq!(narrow, "2 entries from 2 of dimension 1 are not in the shape [2, 3]");
        assert_eq!(message(host.from_f32(&[1.0], &[2])), "1 values were given for the shape [2]");
        let huge = message(host.zeros(&[usize::MAX, 2]));
        assert!(huge.contains("too many values"), "{huge}");
        let cube = host.zeros(&[2, 2, 2])?;
        assert_eq!(message(host.transpose(&cube)), "Transpose does not fit [2, 2, 2]");
        Ok(())
    });
}

#[test]
fn handles_of_the_past_and_of_others_are_refused() {
    use scaleot_plugin_api::{HostServices, MAX_OUTPUTS, OpArguments};
    let mut fake = FakeHost::toy(2, 4);
    let stale = fake.host().zeros(&[1]).unwrap().handle();
    let mut outputs = [0; MAX_OUTPUTS];
    let error = fake.tensor_op(TensorOp::Abs, &[stale], OpArguments::default(), &mut outputs).unwrap_err();
    assert_eq!(error.message, format!("no tensor has the handle {stale}: it was released, or never given out"));
    let fresh = fake.host().zeros(&[1]).unwrap();
    assert_ne!(fresh.handle(), stale);
    let mut other = FakeHost::toy(2, 4);
    assert!(message(other.host().abs(&fresh)).contains("never given out"));
    assert_eq!(fake.live_tensors(), 1);
    let handle = fresh.into_handle();
    assert_eq!(fake.live_tensors(), 1, "a handle that was given away is not released");
    assert_ne!(handle, stale);
}

#[test]
fn losses_are_the_costs_of_replaced_layers_and_training_lowers_them() {
    let mut fake = FakeHost::toy(3, 4).with_layer_costs(&[0.5, 1.0]);
    let mask = |replaced: &[usize]| LayerMask::all_original(3).with_replaced(replaced);
    let extra = |fake: &mut FakeHost, replaced: &[usize]| {
        let losses = fake.host().losses(&[mask(&[]), mask(replaced)]).unwrap();
        losses[1] - losses[0]
    };
    assert!((extra(&mut fake, &[0, 1, 2]) - 1.5).abs() < 1e-9);
    for _ in 0..200 {
        fake.host().train_step(&TrainStep::new(mask(&[1]), 1e-3)).unwrap();
    }
    assert!((extra(&mut fake, &[0]) - 0.5).abs() < 1e-9, "layer 0 was not trained");
    assert!((0.5..0.6).contains(&extra(&mut fake, &[1])), "layer 1 was");
    let idle = fake.host().train_step(&TrainStep::new(mask(&[]), 1e-3));
    assert!(message(idle).contains("nothing trains"));
    let short = fake.host().losses(&[LayerMask::all_original(2)]);
    assert_eq!(message(short), "a mask has 2 entries, the model has 3 layers");
    let cosines = fake.host().layer_statistics(LayerStatistic::InputOutputCosine).unwrap();
    assert!(cosines[2] > cosines[0] && cosines[0] > cosines[1], "{cosines:?}");
}

#[test]
fn only_trainable_substitutes_learn() {
    let mut fake = FakeHost::toy(3, 4).with_layer_costs(&[1.0, 1.0, 1.0]).with_trainable(&[true, false, false]);
    assert_eq!(fake.host().trainable_layers().unwrap(), [true, false, false]);
    let mask = |replaced: &[usize]| LayerMask::all_original(3).with_replaced(replaced);
    let step = |fake: &mut FakeHost, mask: LayerMask| fake.host().train_step(&TrainStep::new(mask, 1e-3));
    step(&mut fake, mask(&[0, 1])).unwrap();
    let losses = fake.host().losses(&[mask(&[]), mask(&[0]), mask(&[1])]).unwrap();
    assert!((losses[1] - losses[0] - 0.995).abs() < 1e-9, "a hundredth of the way from 1 to 0.5");
    assert!((losses[2] - losses[0] - 1.0).abs() < 1e-9, "layer 1 does not train");
    assert!(message(step(&mut fake, mask(&[1, 2]))).contains("nothing trains"));
}

#[test]
fn a_person_can_ask_to_stop() {
    let mut fake = FakeHost::toy(2, 4);
    fake.stop_after(2);
    let mut host = fake.host();
    host.log("a sentence").unwrap();
    host.progress(1, 9, &()).unwrap();
    host.progress(2, 9, &()).unwrap();
    assert_eq!(host.progress(3, 9, &()).unwrap_err().code, ErrorCode::Interrupted);
    assert_eq!(fake.refusals(), 1);
    assert_eq!(fake.notices().first(), Some(&Notice::Log { message: "a sentence".into() }));
    assert_eq!(fake.requests::<services::Notices>(), 4);
}

#[test]
fn layer_weights_are_seeded_by_layer_and_role() {
    let mut fake = FakeHost::toy(3, 8);
    let (first, again, second) = (fake.layer_weights(0), fake.layer_weights(0), fake.layer_weights(1));
    let mut read = |tensor: Option<&Tensor>| fake.host().to_f32(tensor.unwrap()).unwrap();
    let q = read(first.get(WeightRole::AttentionQ));
    assert_eq!(q, read(again.get(WeightRole::AttentionQ)));
    assert_ne!(q, read(second.get(WeightRole::AttentionQ)));
    assert_ne!(q, read(first.get(WeightRole::AttentionK)));
    assert_eq!(read(first.get(WeightRole::MlpDown)).len(), 8 * 16);
    assert_eq!(fake.live_tensors(), 27);
    drop((first, again, second));
    assert_eq!(fake.live_tensors(), 0);
}
