//! One number per layer from one held-out batch: how it turns or changes its input, what coarser weights cost, and the
//! first-order term of its weights. The formulas are in `scaleot_plugin_api::LayerStatistic`.

use crate::error::StageError;
use scaleot_data::TrainingBatch;
use scaleot_model::{Decoder, DecoderLayer, ModelError, WeightForm};
use scaleot_plugin_api::{LayerStatistic, WeightRole, prune_smallest, round_to_bits};
use scaleot_tensor::{Tensor, no_grad};

/// Bytes that gradients of layers taken together may take.
const MEMORY: usize = 1 << 30;

/// The statistic of every layer of the full model.
///
/// # Errors
/// When the decoder cannot run.
pub fn layer_statistics(
    decoder: &Decoder,
    batch: &TrainingBatch,
    statistic: LayerStatistic,
) -> Result<Vec<f64>, StageError> {
    let (share, bits) = match statistic {
        LayerStatistic::TaylorImportance => return taylor(decoder, batch),
        LayerStatistic::PrunedOutputError { percent } => (f64::from(percent.min(100)) / 100.0, 0),
        LayerStatistic::RoundedOutputError { bits } => (0.0, u32::from(bits)),
        LayerStatistic::InputOutputCosine => {
            let states = decoder.layer_states(&batch.batch)?;
            let pairs = states.iter().zip(states.iter().skip(1));
            return pairs.map(|(input, output)| cosine(input, output)).collect();
        }
        other => return Err(ModelError::unknown_part(&other).into()),
    };
    coarse_output_errors(decoder, batch, &|values, row| {
        if bits == 0 { prune_smallest(values, share) } else { round_to_bits(values, row, bits) }
    })
}

/// `input` and `output` are `[tokens, hidden]`.
fn cosine(input: &Tensor, output: &Tensor) -> Result<f64, StageError> {
    let dot = |a: &Tensor, b: &Tensor| a.mul(b).and_then(|product| product.sum(1, false));
    let norms = dot(input, input)?.mul(&dot(output, output)?)?.sqrt()?;
    Ok(dot(input, output)?.div(&norms)?.mean_all()?.to_f64()?)
}

/// Every layer on its own input, with coarser matrices; one layer's copy at a time.
fn coarse_output_errors(
    decoder: &Decoder,
    batch: &TrainingBatch,
    coarsen: &dyn Fn(&mut [f32], usize),
) -> Result<Vec<f64>, StageError> {
    let _guard = no_grad();
    let states = decoder.layer_states(&batch.batch)?;
    let run = decoder.layer_runner(&batch.batch)?;
    let pairs = states.iter().zip(states.iter().skip(1)).enumerate();
    let error = |(index, (input, output)): (usize, (&Tensor, &Tensor))| {
        let mut layer = decoder.layer(index)?.clone();
        change_matrices(&mut layer, &mut |weight| {
            let mut values = weight.to_vec_f32()?;
            coarsen(&mut values, usize::try_from(weight.size(1)?).unwrap_or(0));
            let coarse = Tensor::from_f32(&values, &weight.shape())?;
            Ok(coarse.to_dtype(weight.dtype())?.to_device(weight.device())?)
        })?;
        let difference = run(&layer, input)?.sub(output)?;
        Ok(difference.mul(&difference)?.mean_all()?.to_f64()?)
    };
    pairs.map(error).collect()
}

/// `sum |w dL/dw|`: one backward pass for as many layers as their gradients have room for.
fn taylor(decoder: &Decoder, batch: &TrainingBatch) -> Result<Vec<f64>, StageError> {
    let of_layer = |index: usize| -> Result<usize, StageError> {
        Ok(decoder.layer(index)?.tensors().into_iter().map(|tensor| 4 * tensor.numel()).sum())
    };
    let together = (MEMORY / of_layer(0)?.max(1)).max(1);
    let layers: Vec<usize> = (0..decoder.slots.len()).collect();
    let mut scores = Vec::with_capacity(layers.len());
    for chunk in layers.chunks(together) {
        let mut own = decoder.clone();
        let mut leaves = Vec::new();
        for &index in chunk {
            let mut leaves_of_layer = Vec::new();
            change_matrices(own.layer_mut(index)?, &mut |weight| {
                // A leaf on the same memory: only its gradient is new.
                let leaf = weight.detach()?.set_requires_grad(true)?;
                leaves_of_layer.push(leaf.clone());
                Ok(leaf)
            })?;
            leaves.push(leaves_of_layer);
        }
        own.loss(&batch.batch, &batch.targets, None)?.backward()?;
        let _guard = no_grad();
        for leaves in leaves {
            scores.push(leaves.iter().map(first_order).sum::<Result<f64, StageError>>()?);
        }
    }
    Ok(scores)
}

fn first_order(weight: &Tensor) -> Result<f64, StageError> {
    match weight.grad()? {
        Some(gradient) => Ok(weight.detach()?.mul(&gradient)?.abs()?.sum_all()?.to_f64()?),
        None => Ok(0.0),
    }
}

fn change_matrices(
    layer: &mut DecoderLayer,
    change: &mut dyn FnMut(&Tensor) -> Result<Tensor, StageError>,
) -> Result<(), StageError> {
    for role in WeightRole::ALL {
        if let Some(projection) = layer.projection_mut(role) {
            projection.weight = WeightForm::Dense(change(&projection.weight.dense()?)?);
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "statistics_tests.rs"]
mod tests;
