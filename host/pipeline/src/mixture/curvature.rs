//! Gradients and Kronecker factors of the Hessian around layers' matrices (KFAC): `A = E[x x^T]`, `G = E[g g^T]`, `D = E[g x^T]`.
//!
//! `x_t` is what goes into a projection, `g_t` the gradient of the summed next-token loss at its output; means are over tokens that
//! have a target, those of `A` over all tokens. The gradient at an output is that of a bias with a row for every token,
//! `y = x W^T + B`, `B: [tokens, rows]`. Sums are fp32. Memory: `cols^2 + rows^2 + rows cols` a matrix; one pass over the text serves
//! as many layers as fit into [`READY`], because strategies ask for one layer after the other. Which layers go together is a matter
//! of the model and not of what was asked first: a stage that goes on in the middle gets the same bits.

use crate::error::StageError;
use scaleot_data::{Batches, TextWindows, TrainingBatch};
use scaleot_model::{Decoder, ForwardRequest, target_rows};
use scaleot_plugin_api::{Curvature, CurvatureRequest, WeightRole};
use scaleot_tensor::{Device, Dtype, Tensor, no_grad};
use std::collections::BTreeMap;

/// Bytes of curvature that a run takes in advance at most.
const READY: usize = 512 << 20;

/// The curvature around every matrix of one layer.
pub type LayerCurvature = Vec<(WeightRole, Curvature<Tensor>)>;

/// Curvature of layers, taken for several at a time and handed out once.
pub struct CurvatureSource {
    /// Bytes that curvature taken in advance may fill; one layer is always taken.
    budget: usize,
    /// The layers that will be asked for; none: any.
    only: Option<Vec<usize>>,
    windows: usize,
    ready: BTreeMap<usize, LayerCurvature>,
}

impl Default for CurvatureSource {
    fn default() -> Self {
        Self { budget: READY, only: None, windows: 0, ready: BTreeMap::new() }
    }
}

impl CurvatureSource {
    /// Takes nothing in advance for other layers.
    pub fn only(&mut self, layers: Vec<usize>) {
        self.only = Some(layers);
    }

    /// The curvature around every matrix of a layer, fp32 on the CPU.
    ///
    /// # Errors
    /// A layer that does not exist, no window, or a decoder that cannot run.
    pub fn layer(
        &mut self,
        decoder: &Decoder,
        text: &TextWindows,
        request: CurvatureRequest,
    ) -> Result<LayerCurvature, StageError> {
        decoder.layer(request.layer)?;
        let windows = text.len().min(request.windows as usize);
        if windows != self.windows || !self.ready.contains_key(&request.layer) {
            self.ready.clear();
            self.windows = windows;
            self.ready = curvature_of(decoder, text, &self.together(decoder, request.layer)?, windows)?;
        }
        Ok(self.ready.remove(&request.layer).unwrap_or_default())
    }

    /// The layers that one pass serves: the group of `asked` when all that will be asked for are grouped in order.
    fn together(&self, decoder: &Decoder, asked: usize) -> Result<Vec<usize>, StageError> {
        let wanted = |layer: &usize| {
            let expected = self.only.as_ref().is_none_or(|only| only.contains(layer));
            (expected || *layer == asked) && decoder.layer(*layer).is_ok()
        };
        let (mut group, mut bytes) = (Vec::new(), 0);
        for layer in (0..decoder.slots.len()).filter(wanted) {
            let own = layer_bytes(decoder, layer)?;
            if !group.is_empty() && bytes + own > self.budget {
                if group.contains(&asked) {
                    break;
                }
                (group, bytes) = (Vec::new(), 0);
            }
            group.push(layer);
            bytes += own;
        }
        Ok(group)
    }
}

/// The memory of a layer's curvature in bytes.
fn layer_bytes(decoder: &Decoder, layer: usize) -> Result<usize, StageError> {
    let matrices = decoder.layer(layer)?.projections();
    let values: i64 = matrices
        .map(|(role, _)| match decoder.config.shape(role)[..] {
            [rows, cols] => rows * rows + cols * cols + rows * cols,
            _ => 0,
        })
        .sum();
    Ok(4 * usize::try_from(values).unwrap_or(usize::MAX / 4))
}

fn curvature_of(
    decoder: &Decoder,
    text: &TextWindows,
    layers: &[usize],
    windows: usize,
) -> Result<BTreeMap<usize, LayerCurvature>, StageError> {
    if windows == 0 {
        return Err(StageError::InvalidValue {
            subject: "layer_curvature".into(),
            what: "windows of public text".into(),
            found: "none".into(),
            expected: "at least one".into(),
        });
    }
    let mut sums = Sums::default();
    for step in 0..windows.div_ceil(text.batch_size().max(1)) {
        sums.add(decoder, layers, &text.batch(step as u64))?;
    }
    let (tokens, targets) = (1.0 / sums.tokens, 1.0 / sums.targets);
    let mut found: BTreeMap<usize, LayerCurvature> = BTreeMap::new();
    for ((layer, role), sum) in sums.by_matrix {
        let near = |tensor: Tensor, scale| tensor.mul_scalar(scale)?.to_device(Device::Cpu);
        let Curvature { input, output, gradient, .. } = sum;
        let (input, output) = (near(input, tokens)?, near(output, targets)?);
        let mean = Curvature::new(input, output, near(gradient, targets)?);
        found.entry(layer).or_default().push((role, mean));
    }
    Ok(found)
}

/// Sums over batches so far.
#[derive(Default)]
struct Sums {
    by_matrix: BTreeMap<(usize, WeightRole), Curvature<Tensor>>,
    tokens: f64,
    targets: f64,
}

impl Sums {
    fn add(&mut self, decoder: &Decoder, layers: &[usize], batch: &TrainingBatch) -> Result<(), StageError> {
        let TrainingBatch { batch, targets } = batch;
        let mut own = decoder.clone();
        let leaves = layers
            .iter()
            .map(|&layer| per_token_biases(&mut own, layer, batch.tokens()))
            .collect::<Result<Vec<_>, _>>()?;
        // The state after the last layer is asked for, so that all its rows run.
        let boundaries: Vec<usize> = layers.iter().copied().chain([own.slots.len()]).collect();
        let rows = target_rows(targets);
        let states = own.states(batch, ForwardRequest { rows: &rows, mask: None, boundaries: &boundaries })?;
        own.loss_of_hidden(&states.hidden, &rows, targets)?.backward()?;
        let _guard = no_grad();
        let count = targets.len() as f64;
        for ((&layer, leaves), input) in layers.iter().zip(leaves).zip(&states.boundaries) {
            let inputs: BTreeMap<_, _> = decoder.projection_inputs(layer, input, batch)?.into_iter().collect();
            for (role, leaf) in leaves {
                let (Some(x), Some(g)) = (inputs.get(&role), leaf.grad()?) else { continue };
                // The mean loss gave `g / count`.
                let g = g.to_dtype(Dtype::F32)?.mul_scalar(count)?;
                self.add_matrix((layer, role), &x.to_dtype(Dtype::F32)?, &g)?;
            }
        }
        self.tokens += batch.tokens() as f64;
        self.targets += count;
        Ok(())
    }

    fn add_matrix(&mut self, at: (usize, WeightRole), x: &Tensor, g: &Tensor) -> Result<(), StageError> {
        let product = |a: &Tensor, b: &Tensor| a.transpose(0, 1)?.matmul(b);
        let mut new = Curvature::new(product(x, x)?, product(g, g)?, product(g, x)?);
        if let Some(old) = self.by_matrix.get(&at) {
            new.input.add_(&old.input)?;
            new.output.add_(&old.output)?;
            new.gradient.add_(&old.gradient)?;
        }
        self.by_matrix.insert(at, new);
        Ok(())
    }
}

/// Gives every projection of a layer a bias with a row for every token, whose gradient is that of the output.
fn per_token_biases(
    decoder: &mut Decoder,
    layer: usize,
    tokens: usize,
) -> Result<Vec<(WeightRole, Tensor)>, StageError> {
    let device = decoder.device();
    let dtype = decoder.layer(layer)?.dtype();
    let mut leaves = Vec::new();
    for role in WeightRole::ALL {
        let Some(projection) = decoder.layer_mut(layer)?.projection_mut(role) else { continue };
        let rows = projection.weight.dense()?.size(0)?;
        let zeros = Tensor::zeros(&[tokens as i64, rows], dtype, device)?;
        let per_token = projection.bias.as_ref().map_or(Ok(zeros.clone()), |bias| zeros.add(bias))?;
        let leaf = per_token.set_requires_grad(true)?;
        projection.bias = Some(leaf.clone());
        leaves.push((role, leaf));
    }
    Ok(leaves)
}

#[cfg(test)]
mod tests {
    use super::*;
    use scaleot_data::{TextOptions, TextWindows};
    use scaleot_model::{Model, WeightForm};
    use std::path::Path;

    fn decoder() -> Decoder {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/ci-model");
        Model::load(&folder, Device::Cpu, Dtype::F32).unwrap().decoder
    }

    fn text() -> TextWindows {
        let options = TextOptions { block_length: 8, batch_size: 2, seed: 1 };
        TextWindows::from_tokens("tokens", (0..32).map(|i| i * 29 % 1000 + 5).collect(), options).unwrap()
    }

    /// `D` is the gradient that autograd gives the weight itself, in a middle layer and in the last; traces are mean squares.
    #[test]
    fn the_gradient_is_that_of_the_weight() {
        for layer in [2, 7] {
            let request = CurvatureRequest::new(layer, 2);
            let found = CurvatureSource::default().layer(&decoder(), &text(), request).unwrap();
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

    /// Layers taken in one pass are what they are one by one, in any order; those that nobody asks for are left out.
    #[test]
    fn layers_taken_together_are_the_same() {
        let mut together = CurvatureSource::default();
        together.only(vec![1, 3, 6]);
        assert_eq!(together.together(&decoder(), 1).unwrap(), [1, 3, 6]);
        assert_eq!(together.together(&decoder(), 3).unwrap(), [1, 3, 6], "the same group, whichever comes first");
        assert_eq!(together.together(&decoder(), 4).unwrap(), [1, 3, 4, 6]);
        for layer in [1, 6, 3, 1] {
            let request = CurvatureRequest::new(layer, 3);
            let one = curvature_of(&decoder(), &text(), &[layer], 3).unwrap().remove(&layer).unwrap();
            let found = together.layer(&decoder(), &text(), request).unwrap();
            assert_eq!(found.len(), 7);
            for ((role, found), (_, one)) in found.iter().zip(&one) {
                for (found, one) in [(&found.input, &one.input), (&found.output, &one.output)] {
                    let off = found.sub(one).unwrap().norm().unwrap().to_f64().unwrap();
                    assert!(off <= 1e-5 * one.norm().unwrap().to_f64().unwrap(), "layer {layer} {role}: {off}");
                }
            }
        }
    }

    /// One layer always fits.
    #[test]
    fn a_pass_takes_as_many_layers_as_fit() {
        let decoder = decoder();
        let one = layer_bytes(&decoder, 0).unwrap();
        for (budget, expected) in
            [(0, vec![5]), (2 * one, vec![4, 5]), (3 * one, vec![3, 4, 5]), (READY, (0..8).collect())]
        {
            let source = CurvatureSource { budget, ..CurvatureSource::default() };
            assert_eq!(source.together(&decoder, 5).unwrap(), expected, "{budget} bytes");
        }
    }
}
