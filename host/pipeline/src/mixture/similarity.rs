//! Linear centred kernel alignment of the outputs of all layers (Kornblith et al. 2019; CRaSh, section 5).
//!
//! Per window and layer, the states `[tokens, hidden]` are pooled to one row, so `X_l: [samples, hidden]`, centred over samples;
//! `K_l = X_l X_l^T`, `HSIC(i, j) = sum(K_i o K_j)`, `CKA = HSIC(i, j) / sqrt(HSIC(i, i) HSIC(j, j))`, in fp64.
//! Memory: `samples^2` numbers a layer.

use crate::error::StageError;
use scaleot_data::PackedBatch;
use scaleot_data::TextWindows;
use scaleot_model::{Decoder, ModelError};
use scaleot_plugin_api::{SimilarityRequest, TokenPooling};
use scaleot_tensor::{Dtype, Tensor, no_grad};
use std::cmp::Ordering;

/// The matrix `[n, n]` over the first `samples` held-out windows, or all where there are fewer.
///
/// # Errors
/// Fewer than two windows, outputs that are all the same, or a decoder that cannot run.
pub fn output_similarity(
    decoder: &Decoder,
    held_out: &TextWindows,
    request: SimilarityRequest,
) -> Result<Vec<Vec<f64>>, StageError> {
    let _guard = no_grad();
    let samples = held_out.len().min(request.samples as usize);
    if samples < 2 {
        return Err(StageError::InvalidValue {
            subject: "output_similarity".into(),
            what: "held-out windows".into(),
            found: format!("{samples} of {} that were asked for", request.samples),
            expected: "at least 2: give more public text, or shorter blocks".into(),
        });
    }
    let mut rows: Vec<Vec<Tensor>> = vec![Vec::new(); decoder.slots.len()];
    let numbers: Vec<usize> = (0..samples).collect();
    for chunk in numbers.chunks(held_out.batch_size().max(1)) {
        let batch = held_out.windows(chunk.iter().copied()).batch;
        let pooling = pooling_matrix(&batch, request.pooling)?.to_device(decoder.device())?;
        for (rows, output) in rows.iter_mut().zip(decoder.layer_states(&batch)?.iter().skip(1)) {
            rows.push(pooling.matmul(&output.to_dtype(Dtype::F32)?)?);
        }
    }
    let outputs = rows.iter().map(|rows| Tensor::cat(rows, 0)).collect::<Result<Vec<_>, _>>()?;
    linear_cka(&outputs)
}

/// `[samples, tokens]`; every row sums to 1.
fn pooling_matrix(batch: &PackedBatch, pooling: TokenPooling) -> Result<Tensor, StageError> {
    let tokens = batch.tokens();
    let by_place = match pooling {
        TokenPooling::Mean => false,
        TokenPooling::Position => true,
        other => return Err(ModelError::unknown_part(&other).into()),
    };
    let mut values = vec![0_f32; batch.sequences.len() * tokens];
    for (sequence, row) in batch.sequences.iter().zip(values.chunks_mut(tokens.max(1))) {
        let weight = |place: usize| if by_place { (place + 1) as f32 } else { 1.0 };
        let total: f32 = (0..sequence.len).map(weight).sum();
        let own = row.iter_mut().skip(sequence.start).take(sequence.len);
        own.enumerate().for_each(|(place, value)| *value = weight(place) / total);
    }
    Ok(Tensor::from_f32(&values, &[batch.sequences.len() as i64, tokens as i64])?)
}

/// `outputs`: one `[samples, hidden]` per layer.
fn linear_cka(outputs: &[Tensor]) -> Result<Vec<Vec<f64>>, StageError> {
    let gram = |output: &Tensor| -> Result<Tensor, StageError> {
        let wide = output.to_dtype(Dtype::F64)?;
        let centred = wide.sub(&wide.mean(0, true)?)?;
        let gram = centred.matmul(&centred.transpose(0, 1)?)?;
        // Only ratios count; without this the products of large states would be beyond fp64 for no reason.
        let norm = gram.norm()?.to_f64()?;
        Ok(if norm > 0.0 { gram.mul_scalar(1.0 / norm)? } else { gram })
    };
    let grams = outputs.iter().map(gram).collect::<Result<Vec<_>, _>>()?;
    let mut similarity = vec![vec![1.0; grams.len()]; grams.len()];
    for (i, first) in grams.iter().enumerate() {
        for (j, second) in grams.iter().enumerate().take(i + 1) {
            let found = first.mul(second)?.sum_all()?.to_f64()?;
            // A unit Gram matrix; 0 or NaN where nothing varies.
            if i == j && (found - 1.0).abs().partial_cmp(&0.5) != Some(Ordering::Less) {
                let what = format!("the variance of layer {i}'s outputs over the samples");
                let advice = "Give more public text, or look for damaged weights.";
                return Err(StageError::Numeric { step: 0, what, found, advice });
            }
            for (row, column) in [(i, j), (j, i)] {
                if let Some(entry) = similarity.get_mut(row).and_then(|row| row.get_mut(column)) {
                    *entry = found;
                }
            }
        }
    }
    Ok(similarity)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CKA_XY: f64 = 0.5518162741429796;

    fn tensor(values: &[f32], columns: i64) -> Tensor {
        Tensor::from_f32(values, &[values.len() as i64 / columns, columns]).unwrap()
    }

    /// Three layers over four samples; the expected value was computed apart, over feature covariances:
    /// `||Yc^T Xc||^2 / (||Xc^T Xc|| ||Yc^T Yc||)`, columns centred.
    #[test]
    fn known_matrices() {
        let x = tensor(&[1.0, 2.0, 3.0, -1.0, 0.5, 4.0, -2.0, 1.0], 2);
        let y = tensor(&[0.0, 1.0, 1.0, 2.0, 0.5, -1.0, 3.0, 0.0, 2.0, -2.0, 1.0, 0.0], 3);
        let turned_and_scaled = tensor(&[-4.0, 2.0, 2.0, 6.0, -8.0, 1.0, -2.0, -4.0], 2);
        let found = linear_cka(&[x, y, turned_and_scaled]).unwrap();
        let expected = [[1.0, CKA_XY, 1.0], [CKA_XY, 1.0, CKA_XY], [1.0, CKA_XY, 1.0]];
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
        assert!(linear_cka(&[tensor(&[1.0; 4], 1)]).is_err(), "outputs that are all the same");
    }

    #[test]
    fn later_tokens_count_more() {
        let batch = PackedBatch::causal([&[5_i64, 6, 7][..], &[8]]);
        let position = pooling_matrix(&batch, TokenPooling::Position).unwrap().to_vec_f32().unwrap();
        let expected = [1.0 / 6.0, 2.0 / 6.0, 3.0 / 6.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        assert!(position.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-7), "{position:?}");
        let mean = pooling_matrix(&batch, TokenPooling::Mean).unwrap().to_vec_f32().unwrap();
        assert_eq!(mean[..3], [1.0 / 3.0; 3]);
    }
}
