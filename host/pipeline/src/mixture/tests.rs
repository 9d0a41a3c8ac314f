//! Training, fitting and moments on the trained model of 8 layers, against what their formulas say.

use super::local_fit::token_weights;
use super::{Mixture, MomentSource, PublicText};
use scaleot_data::{Batches, TextOptions, TextWindows};
use scaleot_model::{Decoder, Model};
use scaleot_plugin_api::{FitStep, LayerMask, Module, MomentsRequest, Substitute, TokenWeight, TrainStep};
use scaleot_tensor::{Device, Dtype, NormalStream, Tensor};

const WIDTH: i64 = 64;
const LAYERS: usize = 8;

fn decoder() -> Decoder {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/ci-model");
    Model::load(&folder, Device::Cpu, Dtype::F32).unwrap().decoder
}

/// Windows of 16 tokens, any tokens.
fn windows(seed: u64) -> TextWindows {
    let mut stream = NormalStream::new(seed, 0);
    let tokens = (0..640).map(|_| (stream.sample().abs() * 100.0) as u32 % 300).collect();
    TextWindows::from_tokens("text", tokens, TextOptions { block_length: 16, batch_size: 2, seed }).unwrap()
}

fn text() -> PublicText {
    PublicText { train: windows(1), held_out: windows(2) }
}

/// Harmonizers of rank 4; `down` normal with this deviation, the rest zero.
fn harmonizers(deviation: f32) -> Vec<Substitute<Tensor>> {
    let zeros = |shape: &[i64]| Tensor::zeros(shape, Dtype::F32, Device::Cpu).unwrap();
    let one = |layer: u64| {
        let down = NormalStream::new(layer, 0).tensor(&[4, WIDTH], deviation).unwrap();
        Substitute::trainable(Module::harmonizer(down, zeros(&[4]), zeros(&[WIDTH, 4]), zeros(&[WIDTH])))
    };
    (0..LAYERS as u64).map(one).collect()
}

/// `[down, down_bias, up, up_bias]` of a layer.
fn values(mixture: &Mixture, layer: usize) -> Vec<Vec<f32>> {
    let tensors = mixture.substitutes()[layer].module.tensors();
    tensors.into_iter().map(|tensor| tensor.detach().unwrap().to_vec_f32().unwrap()).collect()
}

fn mixture(deviation: f32) -> Mixture {
    Mixture::new(decoder(), harmonizers(deviation), text()).unwrap()
}

#[test]
fn only_replaced_layers_learn_the_second_matrix_first() {
    let mut mixture = mixture(0.2);
    let before: Vec<_> = (0..LAYERS).map(|layer| values(&mixture, layer)).collect();
    let step = TrainStep::new(LayerMask::all_original(LAYERS).with_replaced(&[2, 5]), 1e-2);
    mixture.train_step(&step, None).unwrap();
    let changed = |mixture: &Mixture, layer: usize| -> Vec<bool> {
        values(mixture, layer).iter().zip(&before[layer]).map(|(now, then)| now != then).collect()
    };
    for layer in 0..LAYERS {
        let expected = if [2, 5].contains(&layer) { [false, false, true, true] } else { [false; 4] };
        assert_eq!(changed(&mixture, layer), expected, "layer {layer}: the gradient of `down` is `up^T g = 0`");
    }
    mixture.train_step(&step, None).unwrap();
    for layer in 0..LAYERS {
        assert_eq!(changed(&mixture, layer), [[2, 5].contains(&layer); 4], "layer {layer}");
    }
}

#[test]
fn two_zero_matrices_never_learn() {
    let mut mixture = mixture(0.0);
    let step = TrainStep::new(LayerMask::all_original(LAYERS).with_replaced(&[3]), 1e-2);
    for _ in 0..3 {
        mixture.train_step(&step, None).unwrap();
    }
    let [down, _, up, up_bias] = &values(&mixture, 3)[..] else { panic!("four tensors") };
    assert!(down.iter().chain(up).all(|&value| value == 0.0), "the trap of the public copy");
    assert!(up_bias.iter().any(|&value| value != 0.0));
}

#[test]
fn local_fit_starts_at_one_and_falls() {
    for weight in [TokenWeight::Uniform, TokenWeight::Output, TokenWeight::Change] {
        let mut mixture = mixture(0.2);
        let step = FitStep::new(5e-3, 4, 8, weight);
        let first = mixture.fit_step(&step).unwrap().residuals;
        assert!(first.iter().all(|residual| (residual - 1.0).abs() < 1e-5), "the identity: {first:?}");
        let second = (0..10).map(|_| mixture.fit_step(&step).unwrap().residuals).next_back().unwrap();
        assert!(second.iter().all(|residual| *residual < 0.98), "{weight:?}: {second:?}");
    }
}

#[test]
fn moments_are_weighted_means_and_covariances() {
    let (decoder, text) = (decoder(), windows(1));
    let mut source = MomentSource::new(&decoder, &text);
    for weight in [TokenWeight::Uniform, TokenWeight::Output] {
        let found = source.moments(MomentsRequest::new(3, 6, weight)).unwrap();
        let (mut weights, mut inputs, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        for step in 0..3 {
            let states = decoder.layer_states(&text.batch(step).batch).unwrap();
            let own = token_weights(&states[3], &states[4], weight).unwrap();
            weights.extend(own.to_vec_f32().unwrap().into_iter().map(f64::from));
            let wide = |tensor: &Tensor| tensor.to_vec_f32().unwrap().into_iter().map(f64::from).collect::<Vec<_>>();
            inputs.extend(wide(&states[3]).chunks(64).map(<[f64]>::to_vec));
            changes.extend(wide(&states[4].sub(&states[3]).unwrap()).chunks(64).map(<[f64]>::to_vec));
        }
        let total: f64 = weights.iter().sum();
        let mean =
            |rows: &[Vec<f64>], at: usize| rows.iter().zip(&weights).map(|(x, w)| w * x[at]).sum::<f64>() / total;
        let (i, j) = (5, 17);
        let centred = |rows: &[Vec<f64>], at: usize| rows.iter().map(|x| x[at] - mean(rows, at)).collect::<Vec<_>>();
        let covariance =
            |a: Vec<f64>, b: Vec<f64>| a.iter().zip(&b).zip(&weights).map(|((a, b), w)| w * a * b).sum::<f64>() / total;
        let expected = [
            (&found.input_mean, i, mean(&inputs, i)),
            (&found.change_mean, j, mean(&changes, j)),
            (&found.input_covariance, i * 64 + j, covariance(centred(&inputs, i), centred(&inputs, j))),
            (&found.cross_covariance, i * 64 + j, covariance(centred(&changes, i), centred(&inputs, j))),
        ];
        for (tensor, at, expected) in expected {
            let value = f64::from(tensor.to_vec_f32().unwrap()[at]);
            assert!((value - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{weight:?}: {value} {expected}");
        }
    }
    let beyond = source.moments(MomentsRequest::new(8, 1, TokenWeight::Uniform));
    assert!(beyond.unwrap_err().to_string().contains("layer 8 over 1 windows"));
}

/// A model whose head gives no numbers: nothing has trained, so no learning rate is to blame.
#[test]
fn advice_fits_what_was_done() {
    let mut broken = decoder();
    broken.final_norm.weight = broken.final_norm.weight.mul_scalar(f64::INFINITY).unwrap();
    let mut mixture = Mixture::new(broken, harmonizers(0.2), text()).unwrap();
    let told = mixture.losses(&[LayerMask::all_original(LAYERS)]).unwrap_err().to_string();
    assert!(told.contains("a held-out loss") && told.contains("Nothing has trained yet"), "{told}");
    assert!(!told.contains("Lower the learning rate"), "{told}");
}

#[test]
fn a_mask_under_which_nothing_trains_is_refused() {
    let step = TrainStep::new(LayerMask::all_original(LAYERS), 1e-2);
    let told = mixture(0.2).train_step(&step, None).unwrap_err().to_string();
    assert!(told.contains("no replaced layer with a substitute that trains"), "{told}");
}
