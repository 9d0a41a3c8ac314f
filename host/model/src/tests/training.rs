//! Attachments of projections, and gradients against finite differences.

use super::{FAMILIES, golden, golden_model, ids, next_token_targets};
use crate::{Activation, Bottleneck, Decoder, LowRankDelta, Model, SoftPrompt, WeightForm, WeightRole};
use scaleot_data::PackedBatch;
use scaleot_tensor::{Device, Dtype, NormalStream, Tensor};

fn loss(decoder: &Decoder, batch: &PackedBatch) -> f64 {
    decoder.loss(batch, &next_token_targets(batch), None).unwrap().to_f64().unwrap()
}

fn draw(seed: u64, shape: &[i64]) -> Tensor {
    NormalStream::new(seed, 0).tensor(shape, 0.2).unwrap()
}

/// `(loss(x + h d) − loss(x − h d)) / 2h` against `⟨gradient, d⟩`.
fn check_gradient(decoder: &Decoder, batch: &PackedBatch, leaf: &Tensor, rebuild: &dyn Fn(Tensor) -> Decoder) {
    let recorded = leaf.deep_copy().unwrap().set_requires_grad(true).unwrap();
    rebuild(recorded.clone()).loss(batch, &next_token_targets(batch), None).unwrap().backward().unwrap();
    let gradient = recorded.grad().unwrap().unwrap();
    let direction = draw(9, &leaf.shape());
    let slope = gradient.mul(&direction).unwrap().sum_all().unwrap().to_f64().unwrap();
    // Small: a ReLU has kinks.
    let step = 2e-3;
    let at = |h: f64| loss(&rebuild(leaf.add(&direction.mul_scalar(h).unwrap()).unwrap()), batch);
    let expected = (at(step) - at(-step)) / (2.0 * step);
    assert!(
        (slope - expected).abs() < 5e-3 * (1.0 + expected.abs()),
        "{}: {slope} {expected}",
        decoder.config.family.name
    );
}

#[test]
fn gradients_of_every_role_are_right() {
    for family in FAMILIES {
        let (model, ids) = golden_model(family);
        let decoder = &model.decoder;
        let batch = PackedBatch::causal([&ids[0][..6], &ids[1][..4]]);
        for (role, projection) in decoder.layer(0).unwrap().projections() {
            let weight = projection.weight.dense().unwrap();
            check_gradient(decoder, &batch, &weight, &|weight| {
                let mut changed = decoder.clone();
                changed.layer_mut(0).unwrap().projection_mut(role).unwrap().weight = WeightForm::Dense(weight);
                changed
            });
        }
        let scale = decoder.layer(0).unwrap().norm_mlp.weight.clone();
        check_gradient(decoder, &batch, &scale, &|scale| {
            let mut changed = decoder.clone();
            changed.layer_mut(0).unwrap().norm_mut(WeightRole::NormMlp).unwrap().weight = scale;
            changed
        });
    }
}

#[test]
fn gradients_of_attachments_are_right() {
    let (model, ids) = golden_model("llama");
    let decoder = &model.decoder;
    let batch = PackedBatch::causal([&ids[0][..6]]);
    check_gradient(decoder, &batch, &draw(1, &[3, 32]), &|a| {
        let mut changed = decoder.clone();
        let q = changed.layer_mut(1).unwrap().projection_mut(WeightRole::AttentionQ).unwrap();
        q.delta = Some(LowRankDelta { a, b: draw(2, &[32, 3]), scale: 2.0 });
        changed
    });
    check_gradient(decoder, &batch, &draw(3, &[5, 32]), &|down| {
        let mut changed = decoder.clone();
        let o = changed.layer_mut(0).unwrap().projection_mut(WeightRole::AttentionO).unwrap();
        o.bottleneck = Some(Bottleneck { down, up: draw(4, &[32, 5]), activation: Activation::Gelu });
        changed
    });
    let gate = draw(6, &[1]).add_scalar(1.0).unwrap();
    let prompted = |prompt: Tensor, gate: Tensor| {
        let mut changed = decoder.clone();
        changed.layer_mut(0).unwrap().prompt = Some(SoftPrompt { prompt, gate });
        changed
    };
    check_gradient(decoder, &batch, &draw(5, &[3, 32]), &|prompt| prompted(prompt, gate.clone()));
    check_gradient(decoder, &batch, &gate, &|gate| prompted(draw(5, &[3, 32]), gate));
}

#[test]
fn attachments_stay_in_fp32_beside_narrow_weights() {
    let (folder, golden) = golden("llama");
    let ids = ids(&golden);
    let batch = PackedBatch::causal([&ids[0][..6]]);
    let attached = |decoder: &Decoder| {
        let leaves: Vec<Tensor> = [[3, 32], [32, 3], [5, 32], [32, 5], [2, 32]]
            .iter()
            .map(|shape| draw(7, shape).set_requires_grad(true).unwrap())
            .collect();
        let [a, b, down, up, prompt] = leaves.clone().try_into().unwrap();
        let mut changed = decoder.clone();
        let layer = changed.layer_mut(1).unwrap();
        layer.q.delta = Some(LowRankDelta { a, b, scale: 2.0 });
        layer.o.bottleneck = Some(Bottleneck { down, up, activation: Activation::Gelu });
        layer.prompt = Some(SoftPrompt { prompt, gate: draw(8, &[1]).add_scalar(1.0).unwrap() });
        let loss = changed.loss(&batch, &next_token_targets(&batch), None).unwrap();
        loss.backward().unwrap();
        let norms: Vec<f64> =
            leaves.iter().map(|leaf| leaf.grad().unwrap().unwrap().norm().unwrap().to_f64().unwrap()).collect();
        assert!(leaves.iter().all(|leaf| leaf.grad().unwrap().unwrap().dtype() == Dtype::F32));
        (loss.to_f64().unwrap(), norms)
    };
    let of = |dtype| attached(&Model::load(&folder, Device::Cpu, dtype).unwrap().decoder);
    let (wide, narrow) = (of(Dtype::F32), of(Dtype::BF16));
    assert!((wide.0 - narrow.0).abs() < 0.05 * wide.0, "{wide:?} {narrow:?}");
    for (wide, narrow) in wide.1.iter().zip(&narrow.1) {
        assert!((wide - narrow).abs() < 0.15 * wide && *wide > 0.0, "{wide} {narrow}");
    }
}

#[test]
fn the_computed_gradient_of_the_head_is_that_of_the_graph() {
    for (family, tied) in [("llama", true), ("gpt_neox", false)] {
        let (model, ids) = golden_model(family);
        let batch = PackedBatch::causal([&ids[0][..6], &ids[1][..9]]);
        // Two targets on one row, none on others.
        let targets = [(3, 7), (0, 1), (14, 99), (3, 8), (9, 0)];
        let norm = || model.decoder.final_norm.weight.deep_copy().unwrap().set_requires_grad(true).unwrap();
        let (computed, graph) = (norm(), norm());
        let mut decoder = model.decoder.clone();
        decoder.final_norm.weight = computed.clone();
        let a = decoder.loss(&batch, &targets, None).unwrap();
        a.mul_scalar(3.0).unwrap().backward().unwrap();
        decoder.final_norm.weight = graph.clone();
        let weight = decoder.head_weight().deep_copy().unwrap().set_requires_grad(true).unwrap();
        decoder.head = Some(weight.clone());
        let b = decoder.loss(&batch, &targets, None).unwrap();
        b.mul_scalar(3.0).unwrap().backward().unwrap();
        assert_eq!(decoder.config.tied, tied);
        assert!((a.to_f64().unwrap() - b.to_f64().unwrap()).abs() < 1e-5);
        let of = |t: &Tensor| t.grad().unwrap().unwrap().to_vec_f32().unwrap();
        assert!(super::largest_difference(&of(&computed), &of(&graph)) < 1e-4, "{family}");
        assert!(weight.grad().unwrap().is_some());
    }
}

#[test]
fn factors_and_deltas_equal_the_merged_weight() {
    let (model, ids) = golden_model("llama");
    let decoder = &model.decoder;
    let batch = PackedBatch::causal([&ids[0][..6]]);
    let mut low = decoder.clone();
    let mut merged = decoder.clone();
    for role in [WeightRole::AttentionV, WeightRole::MlpDown] {
        let shape = decoder.config.shape(role);
        let projection = low.layer_mut(1).unwrap().projection_mut(role).unwrap();
        projection.weight = WeightForm::Factored { left: draw(1, &[shape[0], 4]), right: draw(2, &[4, shape[1]]) };
        projection.delta = Some(LowRankDelta { a: draw(3, &[2, shape[1]]), b: draw(4, &[shape[0], 2]), scale: 0.5 });
        let weight = projection.merged().unwrap();
        merged.layer_mut(1).unwrap().projection_mut(role).unwrap().weight = WeightForm::Dense(weight);
    }
    assert!((loss(&low, &batch) - loss(&merged, &batch)).abs() < 1e-5);
    assert!((loss(&low, &batch) - loss(decoder, &batch)).abs() > 1e-3);
}
