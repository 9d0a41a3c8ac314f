//! Terms against independent computations and finite differences, on the tests' model of 8 layers.

use super::{Sides, hidden_match, loss, step_loss};
use crate::mixture::{Mixture, PublicText};
use scaleot_data::PackedBatch;
use scaleot_data::{TextOptions, TextWindows, TrainingBatch};
use scaleot_model::{Decoder, Model};
use scaleot_plugin_api::{LayerMask, Module, Objective, ObjectiveTerm, Substitute, TrainStep};
use scaleot_tensor::{Device, Dtype, NormalStream, Tensor, set_threads};
use std::path::Path;

const REPLACED: [usize; 2] = [2, 5];

fn full_model() -> Decoder {
    set_threads(1);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/ci-model");
    Model::load(&folder, Device::Cpu, Dtype::F32).unwrap().decoder
}

fn harmonizer(seed: u64) -> Module<Tensor> {
    let mut stream = NormalStream::new(seed, 0);
    let mut tensor = |shape: &[i64]| stream.tensor(shape, 0.2).unwrap();
    Module::harmonizer(tensor(&[4, 64]), tensor(&[4]), tensor(&[64, 4]), tensor(&[64]))
}

/// The model with harmonizers beside layers 2 and 5.
fn mixture() -> Decoder {
    let mut decoder = full_model();
    decoder.substitutes = vec![None; 8];
    REPLACED.into_iter().for_each(|layer| decoder.substitutes[layer] = Some(harmonizer(layer as u64)));
    decoder
}

fn mask() -> LayerMask {
    LayerMask::all_original(8).with_replaced(&REPLACED)
}

/// Two windows; the last token of each is no context of a target.
fn batch() -> TrainingBatch {
    let batch = PackedBatch::causal([&[50i64, 324, 70, 371, 275][..], &[287, 722, 714, 289, 26, 323]]);
    let targets = [0..4, 5..10].into_iter().flatten().map(|row| (row, batch.ids[row + 1])).collect();
    TrainingBatch { batch, targets }
}

fn value(decoder: &Decoder, mask: Option<&LayerMask>, term: ObjectiveTerm) -> f64 {
    let sides = Sides { full: decoder, mixture: decoder, mask };
    loss(sides, &batch(), &Objective::new(1.0, term), 0).unwrap().1
}

fn terms() -> [ObjectiveTerm; 5] {
    [
        ObjectiveTerm::NextToken,
        ObjectiveTerm::HiddenMatch { layer: 6, normalised: true },
        ObjectiveTerm::HiddenMatch { layer: 7, normalised: false },
        ObjectiveTerm::LogitKl { temperature: 1.5 },
        ObjectiveTerm::LossMargin { margin: 0.25 },
    ]
}

#[test]
fn a_literal_of_hidden_match() {
    let tensor = |values: &[f32]| Tensor::from_f32(values, &[2, 2]).unwrap();
    let (full, mixture) = (tensor(&[1.0, -2.0, 3.0, 2.0]), tensor(&[2.0, -2.0, 1.0, 5.0]));
    let found = |normalised| hidden_match(&full, &mixture, normalised).unwrap().to_f64().unwrap();
    // (1 + 0 + 4 + 9) / 4, and the same over (1 + 4 + 9 + 4) / 4.
    assert_eq!(found(false), 3.5);
    assert!((found(true) - 14.0 / 18.0).abs() < 1e-7);
}

#[test]
fn a_mixture_without_substitutes_is_the_full_model() {
    let decoder = mixture();
    for mask in [None, Some(&LayerMask::all_original(8))] {
        for term in &terms()[1..4] {
            assert_eq!(value(&decoder, mask, term.clone()), 0.0, "{term:?}");
        }
        assert_eq!(value(&decoder, mask, ObjectiveTerm::LossMargin { margin: 0.25 }), 0.0625);
    }
    let plain = decoder.loss(&batch().batch, &batch().targets, Some(&mask())).unwrap().to_f64().unwrap();
    assert_eq!(value(&decoder, Some(&mask()), ObjectiveTerm::NextToken), plain);
}

/// `ln softmax` in double precision.
fn log_softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
    let scaled: Vec<f64> = logits.iter().map(|&z| f64::from(z) / temperature).collect();
    let sum: f64 = scaled.iter().map(|z| z.exp()).sum();
    scaled.iter().map(|z| z - sum.ln()).collect()
}

#[test]
fn terms_are_what_logits_and_states_say() {
    let (full, TrainingBatch { batch, targets }) = (full_model(), batch());
    // Modules in the slots, instead of substitutes beside them.
    let mut emulator = full.clone();
    REPLACED.into_iter().for_each(|at| emulator.set(at, scaleot_model::Slot::Module(harmonizer(at as u64))).unwrap());
    let rows: Vec<usize> = targets.iter().map(|target| target.0).collect();
    let logits = |decoder: &Decoder| decoder.logits(&batch, &rows).unwrap().to_vec_f32().unwrap();
    let (p, q) = (logits(&full), logits(&emulator));
    let (mut divergence, mut losses) = (0.0, [0.0; 2]);
    for ((p, q), (_, token)) in p.chunks(1024).zip(q.chunks(1024)).zip(&targets) {
        let (soft_p, soft_q) = (log_softmax(p, 1.5), log_softmax(q, 1.5));
        divergence += soft_p.iter().zip(&soft_q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>() / 9.0;
        for (loss, logits) in losses.iter_mut().zip([p, q]) {
            *loss -= log_softmax(logits, 1.0)[*token as usize] / 9.0;
        }
    }
    let states = |decoder: &Decoder| decoder.layer_states(&batch).unwrap()[7].to_vec_f32().unwrap();
    let (h, g) = (states(&full), states(&emulator));
    let squares = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
    let distance = squares(&mut h.iter().zip(&g).map(|(h, g)| h - g)) / squares(&mut h.iter().copied());
    let margin = (losses[1] - losses[0] - 0.25).powi(2);
    let expected = [losses[1], distance, divergence, margin];
    let asked = terms().into_iter().enumerate().filter(|(index, _)| *index != 2).map(|(_, term)| term);
    for (term, expected) in asked.zip(expected) {
        let found = value(&mixture(), Some(&mask()), term.clone());
        assert!((found - expected).abs() < 2e-5 * (1.0 + expected), "{term:?}: {found} {expected}");
        assert!(expected > 1e-3, "{term:?}");
    }
}

/// The mixture with the first weight of a harmonizer moved by `step` along a direction.
fn moved(layer: usize, leaf: &Tensor) -> Decoder {
    let mut decoder = mixture();
    let mut tensors = vec![leaf.clone()].into_iter();
    let module = decoder.substitutes[layer].take().unwrap();
    let module = module.try_map(&mut |tensor| Ok::<_, ()>(tensors.next().unwrap_or(tensor))).unwrap();
    decoder.substitutes[layer] = Some(module);
    decoder
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let objective = terms().into_iter().enumerate().map(|(index, term)| (1.0 + index as f64, term));
    let mut objectives: Vec<Objective> = objective.clone().map(|(weight, term)| Objective::new(weight, term)).collect();
    objectives.push(Objective::sum(objective.collect()));
    for (layer, objective) in objectives.iter().flat_map(|objective| REPLACED.map(|layer| (layer, objective))) {
        let full = full_model();
        let of = |decoder: &Decoder| {
            loss(Sides { full: &full, mixture: decoder, mask: Some(&mask()) }, &batch(), objective, 0).unwrap()
        };
        let weight = harmonizer(layer as u64).tensors()[0].clone();
        let leaf = weight.deep_copy().unwrap().set_requires_grad(true).unwrap();
        of(&moved(layer, &leaf)).0.backward().unwrap();
        let gradient = leaf.grad().unwrap().unwrap();
        // Along the gradient, where the slope is greatest.
        let length = gradient.norm().unwrap().to_f64().unwrap();
        // Small: a ReLU has kinks.
        let step = 4e-3;
        let at = |h: f64| of(&moved(layer, &weight.add(&gradient.mul_scalar(h / length).unwrap()).unwrap())).1;
        let slope = (at(step) - at(-step)) / (2.0 * step);
        assert!((slope - length).abs() < 2e-2 * length, "{objective:?} in layer {layer}: {slope} {length}");
    }
}

#[test]
fn gradients_flow_into_substitutes_and_nowhere_else() {
    for term in terms() {
        let mut decoder = mixture();
        let leaf = |tensor: Tensor| tensor.set_requires_grad(true);
        let module = decoder.substitutes[5].take().unwrap().try_map(&mut |tensor| leaf(tensor)).unwrap();
        decoder.substitutes[5] = Some(module.clone());
        let sides = Sides { full: &decoder, mixture: &decoder, mask: Some(&mask()) };
        loss(sides, &batch(), &Objective::new(1.0, term.clone()), 0).unwrap().0.backward().unwrap();
        for tensor in module.tensors() {
            assert!(tensor.grad().unwrap().unwrap().norm().unwrap().to_f64().unwrap() > 0.0, "{term:?}");
        }
        let frozen = decoder.slots.iter().flat_map(|slot| slot.tensors()).chain([&decoder.embedding]);
        assert!(frozen.into_iter().all(|tensor| tensor.grad().unwrap().is_none()), "{term:?}");
    }
}

#[test]
fn nothing_above_the_matched_layer_runs() {
    let mut decoder = mixture();
    decoder.substitutes[5] = None;
    let matched = |layer| ObjectiveTerm::HiddenMatch { layer, normalised: false };
    assert!(value(&decoder, Some(&mask()), matched(4)) > 0.0);
    let sides = Sides { full: &decoder, mixture: &decoder, mask: Some(&mask()) };
    let error = loss(sides, &batch(), &Objective::new(1.0, matched(5)), 0).unwrap_err().to_string();
    assert!(error.contains("no substitute"), "{error}");
}

#[test]
fn what_cannot_be_is_named() {
    let decoder = mixture();
    let message = |decoder: &Decoder, objective: &Objective| {
        let sides = Sides { full: decoder, mixture: decoder, mask: Some(&mask()) };
        loss(sides, &batch(), objective, 7).unwrap_err().to_string()
    };
    let of = |term| Objective::new(1.0, term);
    assert_eq!(
        message(&decoder, &of(ObjectiveTerm::HiddenMatch { layer: 8, normalised: true })),
        "objective: hidden_match: found layer 8, expected a layer from 0 to 7"
    );
    assert_eq!(
        message(&decoder, &of(ObjectiveTerm::LogitKl { temperature: 0.0 })),
        "objective: logit_kl: found temperature 0, expected a number above 0"
    );
    let nothing = Objective::sum(Vec::new());
    assert_eq!(message(&decoder, &nothing), "objective: terms: found none, expected at least one term");
    let mut broken = decoder.clone();
    let infinite = Tensor::full(&[4, 64], f64::INFINITY, Dtype::F32, Device::Cpu).unwrap();
    broken.substitutes[5] = moved(5, &infinite).substitutes[5].clone();
    for (term, name) in
        terms().into_iter().zip(["next_token", "hidden_match", "hidden_match", "logit_kl", "loss_margin"])
    {
        let objective = Objective::new(1.0, ObjectiveTerm::HiddenMatch { layer: 1, normalised: true }).plus(2.0, term);
        let error = message(&broken, &objective);
        assert!(error.starts_with("step 7: ") && error.contains(name), "{error}");
    }
}

#[test]
fn a_training_step_goes_towards_the_objective() {
    let tokens: Vec<u32> = (0..400_u32).map(|index| (index * 37) % 1000).collect();
    let text = || {
        let options = TextOptions { block_length: 16, batch_size: 1, seed: 3 };
        TextWindows::from_tokens("text", tokens.clone(), options).unwrap()
    };
    let substitutes = || (0..8).map(|layer| Substitute::trainable(harmonizer(layer))).collect();
    let step = TrainStep::new(mask(), 1e-3);
    let first = |own: Option<Objective>, asked: Option<&Objective>| {
        let mixture =
            Mixture::new(full_model(), substitutes(), PublicText { train: text(), held_out: text() }).unwrap();
        mixture.towards(own).train_step(&step, asked).unwrap().loss
    };
    let of = |term: ObjectiveTerm| Objective::new(1.0, term);
    let expected = |term: ObjectiveTerm| {
        let (decoder, batch) = (mixture(), scaleot_data::Batches::batch(&text(), 0));
        let sides = Sides { full: &decoder, mixture: &decoder, mask: Some(&step.mask) };
        loss(sides, &batch, &of(term), 0).unwrap().1
    };
    let [next_token, matched, _, divergence, _] = terms();
    // Products that are recorded for gradients may round otherwise.
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    close(first(None, None), expected(next_token));
    close(first(Some(of(matched.clone())), None), expected(matched.clone()));
    close(first(Some(of(matched)), Some(&of(divergence.clone()))), expected(divergence));
}

/// Parts of unequal length come to the value and the gradients of one batch of both, for every term and for a sum of them.
#[test]
fn parts_of_a_step_are_one_batch() {
    let (mixture, mask) = (mixture(), mask());
    let whole = batch();
    let windows = [&[50i64, 324, 70, 371, 275][..], &[287, 722, 714, 289, 26, 323]];
    let parts: Vec<TrainingBatch> = windows
        .iter()
        .map(|ids| {
            let batch = PackedBatch::causal([*ids]);
            let targets = (0..ids.len() - 1).map(|row| (row, ids[row + 1])).collect();
            TrainingBatch { batch, targets }
        })
        .collect();
    let leaf = mixture.substitutes[2].as_ref().unwrap().tensors()[2].deep_copy().unwrap();
    let leaf = leaf.set_requires_grad(true).unwrap();
    let mut student = mixture.clone();
    let Some(Module::Residual { module }) = &mut student.substitutes[2] else { panic!("a harmonizer") };
    let Module::Sequential { modules } = &mut **module else { panic!("a harmonizer") };
    let Some(Module::Linear { weight, .. }) = modules.last_mut() else { panic!("a harmonizer") };
    *weight = leaf.clone();
    let sides = Sides { full: &mixture, mixture: &student, mask: Some(&mask) };
    let sum = terms().into_iter().fold(None, |sum: Option<Objective>, term| {
        Some(sum.map_or(Objective::new(0.5, term.clone()), |sum| sum.plus(0.5, term)))
    });
    let objectives = terms().into_iter().map(|term| Objective::new(1.0, term)).chain(sum);
    for objective in objectives {
        let (one, value) = loss(sides, &whole, &objective, 0).unwrap();
        let expected = one.gradients(std::slice::from_ref(&leaf)).unwrap().remove(0).unwrap().to_vec_f32().unwrap();
        let (mut total, mut found) = (0.0, vec![0.0f32; expected.len()]);
        step_loss(sides, &parts, &objective, 0, &mut |part| {
            total += part.to_f64()?;
            let gradient = part.gradients(std::slice::from_ref(&leaf))?.remove(0).unwrap().to_vec_f32()?;
            found.iter_mut().zip(gradient).for_each(|(sum, part)| *sum += part);
            Ok(())
        })
        .unwrap();
        assert!((total - value).abs() < 1e-5 * (1.0 + value.abs()), "{objective:?}: {total} {value}");
        let size = expected.iter().fold(0.0f32, |size, value| size.max(value.abs()));
        let off = expected.iter().zip(&found).fold(0.0f32, |off, (a, b)| off.max((a - b).abs()));
        assert!(size > 0.0 && off < 1e-4 * size, "{objective:?}: {off} of {size}");
    }
}
