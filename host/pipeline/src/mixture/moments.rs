//! Moments of layers over public text: means of input and change, covariance of the input, cross-covariance of both.
//!
//! With token weights `w` that sum to 1: `m = sum w x`, `C = sum w (x - m)(x - m)^T`, for `change = y - x` likewise. Products
//! are taken in fp32 around the first batch's mean and summed in fp64. Layers are collected together as memory allows.

use super::local_fit::token_weights;
use crate::error::StageError;
use scaleot_data::{Batches, TextWindows};
use scaleot_model::{Decoder, ForwardRequest};
use scaleot_plugin_api::{LayerMoments, MomentsRequest};
use scaleot_tensor::{Dtype, Tensor, no_grad};
use std::collections::BTreeMap;

/// Bytes that sums of layers collected together may take.
const MEMORY: usize = 1 << 30;

/// Answers `layer_moments`.
pub struct MomentSource<'a> {
    decoder: &'a Decoder,
    train: &'a TextWindows,
    collected: BTreeMap<usize, Sums>,
    over: Option<MomentsRequest>,
}

/// Weighted sums around a shift.
struct Sums {
    weight: f64,
    shift: (Tensor, Tensor),
    input: Tensor,
    change: Tensor,
    input_input: Tensor,
    change_input: Tensor,
}

impl<'a> MomentSource<'a> {
    /// Moments of this model over this text.
    pub fn new(decoder: &'a Decoder, train: &'a TextWindows) -> Self {
        Self { decoder, train, collected: BTreeMap::new(), over: None }
    }

    /// The moments of one layer, fp32 on the CPU.
    ///
    /// # Errors
    /// A layer that does not exist, no window, or a decoder that cannot run.
    pub fn moments(&mut self, request: MomentsRequest) -> Result<LayerMoments<Tensor>, StageError> {
        let _guard = no_grad();
        let n_layers = self.decoder.slots.len();
        if request.layer >= n_layers || request.windows == 0 {
            return Err(StageError::InvalidValue {
                subject: "layer_moments".into(),
                what: "the question".into(),
                found: format!("layer {} over {} windows", request.layer, request.windows),
                expected: format!("a layer below {n_layers} and at least one window"),
            });
        }
        let same = |over: MomentsRequest| (over.windows, over.weight) == (request.windows, request.weight);
        if !self.over.is_some_and(same) {
            self.collected.clear();
        }
        self.over = Some(request);
        let sums = match self.collected.remove(&request.layer) {
            Some(sums) => Some(sums),
            None => {
                self.collect(request)?;
                self.collected.remove(&request.layer)
            }
        };
        sums.map_or_else(|| Err(no_text()), |sums| sums.moments())
    }

    fn collect(&mut self, request: MomentsRequest) -> Result<(), StageError> {
        let width = self.decoder.config.hidden;
        let together = (MEMORY / (2 * width * width * 8).max(1)).max(1);
        let last = (request.layer + together).min(self.decoder.slots.len());
        let boundaries: Vec<usize> = (request.layer..=last).collect();
        let mut windows = 0;
        for step in 0.. {
            if windows >= request.windows as usize {
                break;
            }
            let batch = self.train.batch(step).batch;
            windows += batch.sequences.len().max(1);
            let ask = ForwardRequest { rows: &[0], mask: None, boundaries: &boundaries };
            let states = self.decoder.states(&batch, ask)?.boundaries;
            for (layer, (input, output)) in (request.layer..).zip(states.iter().zip(states.iter().skip(1))) {
                let (input, output) = (&input.to_dtype(Dtype::F32)?, &output.to_dtype(Dtype::F32)?);
                let weights = token_weights(input, output, request.weight)?;
                let change = output.sub(input)?;
                let sums = match self.collected.remove(&layer) {
                    Some(sums) => sums,
                    None => Sums::around(input, &change)?,
                };
                self.collected.insert(layer, sums.plus(input, &change, &weights)?);
            }
        }
        Ok(())
    }
}

fn no_text() -> StageError {
    StageError::InvalidValue {
        subject: "public_data.text".into(),
        what: "text for moments".into(),
        found: "no window".into(),
        expected: "at least one window of public_data.block_length tokens".into(),
    }
}

impl Sums {
    fn around(input: &Tensor, change: &Tensor) -> Result<Self, StageError> {
        let width = input.size(1)?;
        let zeros = |shape: &[i64]| Tensor::zeros(shape, Dtype::F64, input.device());
        Ok(Self {
            weight: 0.0,
            shift: (input.mean(0, true)?, change.mean(0, true)?),
            input: zeros(&[width])?,
            change: zeros(&[width])?,
            input_input: zeros(&[width, width])?,
            change_input: zeros(&[width, width])?,
        })
    }

    fn plus(mut self, input: &Tensor, change: &Tensor, weights: &Tensor) -> Result<Self, StageError> {
        let (x, c) = (input.sub(&self.shift.0)?, change.sub(&self.shift.1)?);
        let column = weights.unsqueeze(1)?;
        let (weighted_x, weighted_c) = (x.mul(&column)?, c.mul(&column)?);
        let wide = |tensor: Tensor| tensor.to_dtype(Dtype::F64);
        let rows = |tensor: &Tensor| tensor.transpose(0, 1)?.contiguous();
        let inputs = rows(&x)?;
        self.weight += wide(weights.clone())?.sum_all()?.to_f64()?;
        self.input.add_(&wide(weighted_x.sum(0, false)?)?)?;
        self.change.add_(&wide(weighted_c.sum(0, false)?)?)?;
        self.input_input.add_(&wide(rows(&weighted_x)?.linear(&inputs, None)?)?)?;
        self.change_input.add_(&wide(rows(&weighted_c)?.linear(&inputs, None)?)?)?;
        Ok(self)
    }

    fn moments(self) -> Result<LayerMoments<Tensor>, StageError> {
        let scale = 1.0 / self.weight.max(f64::MIN_POSITIVE);
        let mean = |sum: &Tensor| sum.mul_scalar(scale);
        let (input, change) = (mean(&self.input)?, mean(&self.change)?);
        let covariance = |sums: &Tensor, a: &Tensor, b: &Tensor| {
            let product = a.unsqueeze(1)?.mul(&b.unsqueeze(0)?)?;
            sums.mul_scalar(scale)?.sub(&product)?.to_dtype(Dtype::F32)
        };
        let whole =
            |mean: &Tensor, shift: &Tensor| mean.add(&shift.to_dtype(Dtype::F64)?.select(0, 0)?)?.to_dtype(Dtype::F32);
        Ok(LayerMoments::new(
            whole(&input, &self.shift.0)?,
            whole(&change, &self.shift.1)?,
            covariance(&self.input_input, &input, &input)?,
            covariance(&self.change_input, &change, &input)?,
        ))
    }
}
