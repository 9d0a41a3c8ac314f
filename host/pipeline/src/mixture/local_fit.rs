//! Local fit: every substitute towards its own layer's output, all layers from one frozen pass of the full model.
//!
//! For the states `x` before and `y` after a layer, `[tokens, hidden]`, and token weights `w`:
//! `residual = sum w ||h(x) - y||^2 / sum w ||y - x||^2`, so 1 is as bad as dropping the layer. One step lowers the sum of
//! the residuals; no gradient goes through the backbone. A warm start of this project's, not in the paper.

use crate::error::StageError;
use crate::training::EachPart;
use scaleot_data::PackedBatch;
use scaleot_model::{Decoder, ModelError};
use scaleot_plugin_api::TokenWeight;
use scaleot_tensor::{Dtype, Tensor, no_grad};

/// Keeps squared norms away from 0.
const SMALLEST: f64 = 1e-12;

/// The targets of the substitutes on one batch.
pub struct LocalTargets {
    layers: Vec<LayerTarget>,
}

struct LayerTarget {
    input: Tensor,
    output: Tensor,
    /// `w / sum w ||y - x||^2`, `[tokens]`.
    weight: Tensor,
}

impl LocalTargets {
    /// States before and after every layer of the full model.
    ///
    /// # Errors
    /// When the decoder cannot run.
    pub fn of(decoder: &Decoder, batch: &PackedBatch, weight: TokenWeight) -> Result<Self, StageError> {
        let states = decoder.layer_states(batch)?;
        let _guard = no_grad();
        let pairs = states.iter().zip(states.iter().skip(1));
        let layers = pairs.map(|(input, output)| {
            let weight = normalised(&token_weights(input, output, weight)?, &squared_change(input, output)?)?;
            Ok(LayerTarget { input: input.clone(), output: output.clone(), weight })
        });
        Ok(Self { layers: layers.collect::<Result<_, StageError>>()? })
    }

    /// The residual of every layer's substitute; `each` takes those whose `trains` is set.
    ///
    /// # Errors
    /// When a substitute cannot run.
    pub fn residuals(
        &self,
        decoder: &Decoder,
        batch: &PackedBatch,
        trains: &[bool],
        each: &mut EachPart<'_>,
    ) -> Result<Vec<f64>, StageError> {
        let run = decoder.substitute_runner(batch)?;
        let mut one = |(layer, target): (usize, &LayerTarget)| {
            if trains.get(layer) == Some(&true) {
                let residual = target.residual(&run(layer, &target.input)?)?;
                let value = residual.to_f64()?;
                each(residual)?;
                return Ok(value);
            }
            let _guard = no_grad();
            Ok(target.residual(&run(layer, &target.input)?)?.to_f64()?)
        };
        self.layers.iter().enumerate().map(&mut one).collect()
    }
}

impl LayerTarget {
    fn residual(&self, found: &Tensor) -> Result<Tensor, StageError> {
        Ok(self.weight.mul(&squared_change(&self.output, found)?)?.sum_all()?)
    }
}

/// `||b - a||^2` of every token, `[tokens]`.
fn squared_change(a: &Tensor, b: &Tensor) -> Result<Tensor, StageError> {
    // Sums over a state are fp32, whatever the states are.
    let change = b.to_dtype(Dtype::F32)?.sub(&a.to_dtype(Dtype::F32)?)?;
    Ok(change.mul(&change)?.sum(1, false)?)
}

/// The weight of every token, `[tokens]`.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn token_weights(input: &Tensor, output: &Tensor, weight: TokenWeight) -> Result<Tensor, StageError> {
    let squares = match weight {
        TokenWeight::Output => {
            let output = output.to_dtype(Dtype::F32)?;
            output.mul(&output)?.sum(1, false)?
        }
        TokenWeight::Uniform | TokenWeight::Change => squared_change(input, output)?,
        other => return Err(ModelError::unknown_part(&other).into()),
    };
    let ones = squares.mul_scalar(0.0)?.add_scalar(1.0)?;
    Ok(match weight {
        TokenWeight::Uniform => ones,
        _ => ones.div(&squares.add_scalar(SMALLEST)?)?,
    })
}

fn normalised(weights: &Tensor, squares: &Tensor) -> Result<Tensor, StageError> {
    let total = weights.mul(squares)?.sum_all()?.to_f64()?;
    Ok(weights.mul_scalar(1.0 / total.max(SMALLEST))?)
}
