//! The scale that the delta of a tensor is measured against.
//!
//! `scale(t) = max(||t||, s √n)` for `n` values, where `s` is what a value of its kind has in this layer: for a matrix the root mean
//! square of the layer's matrices; for a bias that of what it is added to, `sqrt(mean over matrices of ||W||² / rows)`, the output for
//! an input of size 1; for a norm that of the layer's norm weights. So a tensor that is zero, as fresh biases are, has a bound as
//! its neighbours have, and a huge delta in it is still refused. A layer of zeros is measured by the whole model, that by 1.

use crate::error::StageError;
use scaleot_model::{Decoder, DecoderLayer, Slot};
use scaleot_plugin_api::WeightRole;
use scaleot_tensor::{Dtype, Tensor};

/// Sums over the tensors of a layer, or of several.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    /// `Σ ||W||²` and values of matrices.
    matrices: (f64, f64),
    /// `Σ ||W||² / rows` and matrices.
    outputs: (f64, f64),
    /// `Σ ||w||²` and values of norm weights.
    norms: (f64, f64),
}

/// The size of values in a layer, by what they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerScale {
    matrix: f64,
    bias: f64,
    norm: f64,
}

impl Sums {
    fn of(layer: &DecoderLayer) -> Result<Self, StageError> {
        let mut sums = Self::default();
        for (_, projection) in layer.projections() {
            let weight = projection.weight.dense()?;
            let (squares, rows) = (norm(&weight)?.powi(2), weight.size(0)?.max(1) as f64);
            sums.matrices = (sums.matrices.0 + squares, sums.matrices.1 + weight.numel() as f64);
            sums.outputs = (sums.outputs.0 + squares / rows, sums.outputs.1 + 1.0);
        }
        for role in [WeightRole::NormAttention, WeightRole::NormMlp] {
            let Some(own) = layer.norm(role) else { continue };
            let values = own.weight.numel() as f64;
            sums.norms = (sums.norms.0 + norm(&own.weight)?.powi(2), sums.norms.1 + values);
        }
        Ok(sums)
    }

    fn add(&mut self, other: &Self) {
        let add = |sum: &mut (f64, f64), other: (f64, f64)| *sum = (sum.0 + other.0, sum.1 + other.1);
        add(&mut self.matrices, other.matrices);
        add(&mut self.outputs, other.outputs);
        add(&mut self.norms, other.norms);
    }

    fn scale(&self, else_by: &LayerScale) -> LayerScale {
        let rms = |(squares, count): (f64, f64), other: f64| {
            let found = (squares / count.max(1.0)).sqrt();
            if found > 0.0 { found } else { other }
        };
        LayerScale {
            matrix: rms(self.matrices, else_by.matrix),
            bias: rms(self.outputs, else_by.bias),
            norm: rms(self.norms, else_by.norm),
        }
    }
}

impl LayerScale {
    /// Of the layers in these slots.
    ///
    /// # Errors
    /// A slot that is no layer.
    pub fn of(decoder: &Decoder, slots: &[usize]) -> Result<Vec<(usize, Self)>, StageError> {
        let mut whole = Sums::default();
        for slot in &decoder.slots {
            if let Slot::Layer(layer) = slot {
                whole.add(&Sums::of(layer)?);
            }
        }
        let whole = whole.scale(&Self { matrix: 1.0, bias: 1.0, norm: 1.0 });
        slots.iter().map(|&slot| Ok((slot, Sums::of(decoder.layer(slot)?)?.scale(&whole)))).collect()
    }

    /// `scale(t)` of a tensor as shipped, named as in a return.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn measure(&self, name: &str, shipped: &Tensor) -> Result<f64, StageError> {
        let size = match shipped.shape().len() {
            2.. => self.matrix,
            _ if name.contains(".norm.") => self.norm,
            _ => self.bias,
        };
        Ok(norm(shipped)?.max(size * (shipped.numel() as f64).sqrt()))
    }
}

/// The 2-norm, taken in fp64: squares of large fp32 values are beyond fp32.
pub fn norm(tensor: &Tensor) -> Result<f64, StageError> {
    Ok(tensor.to_dtype(Dtype::F64)?.norm()?.to_f64()?)
}
