//! Gradients and Kronecker factors of the Hessian around one layer's matrices (KFAC): `A = E[x x^T]`, `G = E[g g^T]`, `D = E[g x^T]`.
//!
//! `x_t` is what goes into a projection, `g_t` the gradient of the summed next-token loss at its output; means are over tokens that
//! have a target, those of `A` over all tokens. The gradient at an output is that of a bias with a row for every token,
//! `y = x W^T + B`, `B: [tokens, rows]`. Sums are fp32. Memory: one layer's `cols^2 + rows^2 + rows cols` a matrix.

use crate::data::{Batches, TextWindows, TrainingBatch};
use crate::model::{Ask, Decoder, target_rows};
use crate::pipeline::error::StageError;
use crate::tensor::{Device, Dtype, Tensor, no_grad};
use plugin_api::{Curvature, CurvatureRequest, WeightRole};
use std::collections::BTreeMap;

/// Sums over batches so far.
#[derive(Default)]
struct Sums {
    by_role: BTreeMap<WeightRole, Curvature<Tensor>>,
    tokens: f64,
    targets: f64,
}

/// The curvature around every matrix of a layer, fp32 on the CPU.
///
/// # Errors
/// A layer that does not exist, no window, or a decoder that cannot run.
pub fn layer_curvature(
    decoder: &Decoder,
    text: &TextWindows,
    request: CurvatureRequest,
) -> Result<Vec<(WeightRole, Curvature<Tensor>)>, StageError> {
    decoder.layer(request.layer)?;
    let windows = text.len().min(request.windows as usize);
    if windows == 0 {
        return Err(StageError::Artefact {
            path: "layer_curvature".into(),
            what: "windows of public text".into(),
            found: "none".into(),
            expected: "at least one".into(),
        });
    }
    let mut sums = Sums::default();
    for step in 0..windows.div_ceil(text.batch_size().max(1)) {
        sums.add(decoder, request.layer, &text.batch(step as u64))?;
    }
    let (tokens, targets) = (1.0 / sums.tokens, 1.0 / sums.targets);
    let mean = |(role, sum): (WeightRole, Curvature<Tensor>)| -> Result<_, StageError> {
        let near = |tensor: Tensor, scale| tensor.mul_scalar(scale)?.to_device(Device::Cpu);
        let Curvature { input, output, gradient } = sum;
        let (input, output) = (near(input, tokens)?, near(output, targets)?);
        Ok((role, Curvature { input, output, gradient: near(gradient, targets)? }))
    };
    sums.by_role.into_iter().map(mean).collect()
}

impl Sums {
    fn add(&mut self, decoder: &Decoder, layer: usize, batch: &TrainingBatch) -> Result<(), StageError> {
        let TrainingBatch { batch, targets } = batch;
        let tokens = batch.tokens() as i64;
        let mut own = decoder.clone();
        let mut leaves = Vec::new();
        for role in WeightRole::ALL {
            let Some(projection) = own.layer_mut(layer)?.projection_mut(role) else { continue };
            let rows = projection.weight.dense()?.size(0)?;
            let zeros = Tensor::zeros(&[tokens, rows], decoder.dtype(), decoder.device())?;
            let per_token = projection.bias.as_ref().map_or(Ok(zeros.clone()), |bias| zeros.add(bias))?;
            let leaf = per_token.set_requires_grad(true)?;
            projection.bias = Some(leaf.clone());
            leaves.push((role, leaf));
        }
        // The state after the last layer is asked for, so that all its rows run.
        let (rows, boundaries) = (target_rows(targets), [layer, own.slots.len()]);
        let states = own.states(batch, Ask { rows: &rows, mask: None, boundaries: &boundaries })?;
        own.loss_of_hidden(&states.hidden, &rows, targets)?.backward()?;
        let _guard = no_grad();
        let Some(input) = states.boundaries.first() else { return Ok(()) };
        let inputs: BTreeMap<_, _> = decoder.projection_inputs(layer, input, batch)?.into_iter().collect();
        let count = targets.len() as f64;
        for (role, leaf) in leaves {
            let (Some(x), Some(g)) = (inputs.get(&role), leaf.grad()?) else { continue };
            // The mean loss gave `g / count`.
            self.add_matrix(role, &x.to_dtype(Dtype::F32)?, &g.to_dtype(Dtype::F32)?.mul_scalar(count)?)?;
        }
        self.tokens += tokens as f64;
        self.targets += count;
        Ok(())
    }

    fn add_matrix(&mut self, role: WeightRole, x: &Tensor, g: &Tensor) -> Result<(), StageError> {
        let product = |a: &Tensor, b: &Tensor| a.transpose(0, 1)?.matmul(b);
        let mut new = Curvature { input: product(x, x)?, output: product(g, g)?, gradient: product(g, x)? };
        if let Some(old) = self.by_role.get(&role) {
            new.input.add_(&old.input)?;
            new.output.add_(&old.output)?;
            new.gradient.add_(&old.gradient)?;
        }
        self.by_role.insert(role, new);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{TextOptions, TextWindows};
    use crate::model::{Model, WeightForm};
    use std::path::Path;

    fn decoder() -> Decoder {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/ci-model");
        Model::load(&folder, Device::Cpu, Dtype::F32).unwrap().decoder
    }

    fn text() -> TextWindows {
        let options = TextOptions { sequence_length: 8, batch_size: 2, seed: 1 };
        TextWindows::from_tokens("tokens", (0..32).map(|i| i * 29 % 1000 + 5).collect(), options).unwrap()
    }

    /// `D` is the gradient that autograd gives the weight itself, in a middle layer and in the last; traces are mean squares.
    #[test]
    fn the_gradient_is_that_of_the_weight() {
        for layer in [2, 7] {
            let request = CurvatureRequest { layer, windows: 2 };
            let found = layer_curvature(&decoder(), &text(), request).unwrap();
            let batch = text().batch(0);
            for (role, curvature) in found {
                let mut own = decoder();
                let weight = own.layer(layer).unwrap().projection(role).unwrap().weight.dense().unwrap();
                let leaf = weight.deep_copy().unwrap().set_requires_grad(true).unwrap();
                own.layer_mut(layer).unwrap().projection_mut(role).unwrap().weight = WeightForm::Dense(leaf.clone());
                own.loss(&batch.batch, &batch.targets, None).unwrap().backward().unwrap();
                let expected = leaf.grad().unwrap().unwrap();
                let off = expected.sub(&curvature.gradient).unwrap().norm().unwrap().to_f64().unwrap();
                let whole = expected.norm().unwrap().to_f64().unwrap();
                assert!(whole > 0.0 && off < 1e-4 * whole, "layer {layer} {role}: {off} of {whole}");
                let [rows, cols] = [weight.size(0).unwrap(), weight.size(1).unwrap()];
                assert_eq!((curvature.input.shape(), curvature.output.shape()), (vec![cols; 2], vec![rows; 2]));
            }
        }
    }
}
