//! A pack gives what its sequences give one by one, whatever their lengths, trees and wanted rows.

use super::{FAMILIES, golden_model, largest_difference};
use crate::forward_plan::ForwardPlan;
use crate::segments::{Segmenter, Sharing};
use crate::{Decoder, ForwardRequest};
use scaleot_data::{Ancestry, PackedBatch, Sequence};
use scaleot_tensor::{Device, Dtype, NormalStream, no_grad};

const TOLERANCE: f32 = 1e-5;

/// Adds a context and its alternative continuations as one tree; the positions of every
/// continuation go on from the context. Returns the first row of the context and of each one.
fn push_tree(batch: &mut PackedBatch, context: &[i64], continuations: &[&[i64]]) -> Vec<usize> {
    let start = batch.ids.len();
    let mut parents: Vec<Option<usize>> = (0..context.len()).map(|i| i.checked_sub(1)).collect();
    batch.ids.extend_from_slice(context);
    batch.positions.extend(0..context.len() as i64);
    let mut rows = vec![start];
    for continuation in continuations {
        let first = parents.len();
        rows.push(start + first);
        for i in 0..continuation.len() {
            let parent = if i == 0 { context.len().checked_sub(1) } else { Some(first + i - 1) };
            parents.push(parent);
        }
        batch.ids.extend_from_slice(continuation);
        let from = context.len() as i64;
        batch.positions.extend(from..from + continuation.len() as i64);
    }
    let len = parents.len();
    batch.sequences.push(Sequence { start, len, ancestry: Ancestry::Tree(parents) });
    rows
}

#[test]
fn a_tree_shares_its_context() {
    let mut batch = PackedBatch::new();
    batch.push_causal(&[9]);
    let rows = push_tree(&mut batch, &[1, 2], &[&[3, 4], &[5]]);
    assert_eq!(rows, [1, 3, 5]);
    assert_eq!(batch.positions, [0, 0, 1, 2, 3, 2]);
    let parents = vec![None, Some(0), Some(1), Some(2), Some(1)];
    assert_eq!(batch.sequences[1].ancestry, Ancestry::Tree(parents));
    batch.check(10, 4).unwrap();
}

fn logits(decoder: &Decoder, batch: &PackedBatch, rows: &[usize]) -> Vec<f32> {
    let _guard = no_grad();
    decoder.logits(batch, rows).unwrap().to_vec_f32().unwrap()
}

fn all_rows(batch: &PackedBatch) -> Vec<usize> {
    (0..batch.tokens()).collect()
}

#[test]
fn mixed_lengths_packed_equal_one_by_one() {
    for family in FAMILIES {
        let (model, ids) = golden_model(family);
        let decoder = &model.decoder;
        let pieces = [&ids[0][..7], &ids[1][..7], &ids[0][..1], &ids[1][..12], &ids[0][5..8], &ids[1][..3]];
        let packed = PackedBatch::causal(pieces);
        let together = logits(decoder, &packed, &all_rows(&packed));
        let alone: Vec<f32> = pieces
            .iter()
            .flat_map(|piece| {
                let batch = PackedBatch::causal([*piece]);
                logits(decoder, &batch, &all_rows(&batch))
            })
            .collect();
        let difference = largest_difference(&together, &alone);
        assert!(difference < TOLERANCE, "{family}: {difference}");
    }
}

#[test]
fn wanted_rows_equal_those_of_the_full_computation() {
    for family in FAMILIES {
        let (model, ids) = golden_model(family);
        let decoder = &model.decoder;
        let batch = PackedBatch::causal([&ids[0][..7], &ids[1][..9], &ids[0][..4]]);
        let full = logits(decoder, &batch, &all_rows(&batch));
        let width = decoder.config.vocabulary;
        // Out of order, one twice, none of the last sequence; then a whole sequence and one row more.
        for rows in [vec![9, 0, 15, 9, 6], (7..16).chain([19]).collect()] {
            let expected: Vec<f32> = rows.iter().flat_map(|r| full[r * width..(r + 1) * width].to_vec()).collect();
            let difference = largest_difference(&logits(decoder, &batch, &rows), &expected);
            assert!(difference < TOLERANCE, "{family} {rows:?}: {difference}");
        }
    }
}

#[test]
fn a_tree_equals_its_branches_alone() {
    for family in FAMILIES {
        let (model, ids) = golden_model(family);
        let decoder = &model.decoder;
        let context = &ids[0][..5];
        let choices = [&ids[1][..4], &ids[1][4..5], &ids[1][5..8]];
        let mut tree = PackedBatch::new();
        tree.push_causal(&ids[1][..3]);
        let starts = push_tree(&mut tree, context, &choices);
        for (choice, start) in choices.iter().zip(&starts[1..]) {
            let whole = [context, choice].concat();
            let alone = PackedBatch::causal([whole.as_slice()]);
            let rows: Vec<usize> = (context.len()..whole.len()).collect();
            let expected = logits(decoder, &alone, &rows);
            let rows: Vec<usize> = (*start..start + choice.len()).collect();
            let difference = largest_difference(&logits(decoder, &tree, &rows), &expected);
            assert!(difference < TOLERANCE, "{family}: {difference}");
        }
    }
}

/// The final hidden states of some rows, with attention calls shared or not, and a gradient through them.
fn shared(decoder: &Decoder, batch: &PackedBatch, rows: &[usize], sharing: Sharing) -> (Vec<f32>, Vec<f32>) {
    let mut decoder = decoder.clone();
    let leaf = decoder.layer(0).unwrap().norm_attention.weight.deep_copy().unwrap().set_requires_grad(true).unwrap();
    decoder.layer_mut(0).unwrap().norm_attention.weight = leaf.clone();
    let segmenter = Segmenter { sharing, ..Segmenter::new(Dtype::F32, Device::Cpu) };
    let plan = ForwardPlan::new(&decoder.config, batch, rows, segmenter).unwrap();
    let mut x = decoder.embed(&plan).unwrap();
    for slot in 0..decoder.slots.len() {
        x = decoder.run_slot(slot, &x, &plan, None).unwrap();
    }
    x.mul(&x).unwrap().sum_all().unwrap().backward().unwrap();
    (x.to_vec_f32().unwrap(), leaf.grad().unwrap().unwrap().to_vec_f32().unwrap())
}

#[test]
fn shared_calls_with_padding_equal_separate_ones() {
    for family in FAMILIES {
        let (model, ids) = golden_model(family);
        let mut batch = PackedBatch::causal([&ids[0][..9], &ids[1][..7], &ids[0][..7], &ids[1][..1], &ids[0][3..7]]);
        push_tree(&mut batch, &ids[0][..4], &[&ids[1][..3], &ids[1][3..5]]);
        push_tree(&mut batch, &ids[1][..2], &[&ids[0][..3]]);
        let all: Vec<usize> = (0..batch.tokens()).collect();
        for rows in [all, vec![2, 8, 10, 24, 27, 30, 35], vec![0]] {
            let (separate, gradient) = shared(&model.decoder, &batch, &rows, Sharing::Views);
            let (padded, padded_gradient) = shared(&model.decoder, &batch, &rows, Sharing::Padded);
            assert!(largest_difference(&separate, &padded) < TOLERANCE, "{family} {rows:?}");
            let scale = gradient.iter().fold(1.0f32, |a, b| a.max(b.abs()));
            assert!(largest_difference(&gradient, &padded_gradient) < TOLERANCE * scale, "{family} {rows:?}");
        }
    }
}

#[test]
fn boundaries_are_the_residual_stream() {
    let (model, ids) = golden_model("llama");
    let decoder = &model.decoder;
    let _guard = no_grad();
    let batch = PackedBatch::causal([&ids[0][..6]]);
    let states = decoder.states(&batch, ForwardRequest { rows: &[5], mask: None, boundaries: &[0, 1, 2] }).unwrap();
    assert_eq!(states.boundaries.len(), 3);
    let last = decoder.final_norm.forward(&states.boundaries[2]).unwrap().narrow(0, 5, 1).unwrap();
    let difference = largest_difference(&last.to_vec_f32().unwrap(), &states.hidden.to_vec_f32().unwrap());
    assert!(difference < TOLERANCE, "{difference}");
    let error = decoder.states(&batch, ForwardRequest { rows: &[5], mask: None, boundaries: &[1, 3] }).err().unwrap();
    assert_eq!(error.to_string(), "batch: boundaries is [1, 3], expected ascending, from 0 to 2");
}

#[test]
fn many_targets_on_one_row_and_many_chunks() {
    let (model, _) = golden_model("llama");
    let decoder = &model.decoder;
    // More rows than one chunk holds: 6 sequences of 60 tokens.
    let mut stream = NormalStream::new(1, 0);
    let ids: Vec<i64> = (0..360).map(|_| (stream.sample().abs() * 40.0) as i64 % 128).collect();
    let batch = PackedBatch::causal(ids.chunks(60));
    let mut targets: Vec<(usize, i64)> = (0..360).rev().map(|row| (row, (row % 128) as i64)).collect();
    targets.extend([(7, 1), (7, 2), (200, 3)]);
    let log_probs = decoder.log_probs(&batch, &targets).unwrap();
    let all = logits(decoder, &batch, &all_rows(&batch));
    for ((row, token), found) in targets.iter().zip(&log_probs) {
        let row = &all[row * 128..(row + 1) * 128];
        let sum: f64 = row.iter().map(|&v| f64::from(v).exp()).sum();
        let expected = f64::from(row[*token as usize]) - sum.ln();
        assert!((f64::from(*found) - expected).abs() < 1e-4);
    }
}
