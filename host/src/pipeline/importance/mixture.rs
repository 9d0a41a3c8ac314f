//! A layer mixture: the full model with a substitute beside every layer, public text to train on and to be judged on.
//!
//! Training steps change substitutes only: the backbone is frozen, gradients flow through it. Batches are counted, so that
//! the same seed sees the same text in the same order.

use crate::data::{Batches, TextWindows};
use crate::model::Decoder;
use crate::pipeline::error::StageError;
use crate::pipeline::objective::{self, Sides};
use crate::pipeline::replace::in_slots;
use crate::pipeline::tune::{AdamW, AdamWOptions};
use crate::tensor::Tensor;
use plugin_api::{LayerMask, LayerStatistic, Module, Objective, ObjectiveTerm, StepReport, Substitute, TrainStep};

/// The model, its substitutes, and the text.
pub struct Mixture {
    decoder: Decoder,
    substitutes: Vec<Substitute<Tensor>>,
    /// Trainable tensors with the layer that each belongs to.
    parameters: Vec<Tensor>,
    layer_of: Vec<usize>,
    optimiser: AdamW,
    /// What a training step minimises unless it says otherwise.
    objective: Objective,
    train: TextWindows,
    held_out: TextWindows,
    trained: u64,
    judged: u64,
}

impl Mixture {
    /// Installs a substitute beside every layer; those that are trainable get tensors of their own.
    ///
    /// # Errors
    /// A substitute that shares a layer which does not exist, or no memory.
    pub fn new(
        mut decoder: Decoder,
        substitutes: Vec<Substitute<Tensor>>,
        (train, held_out): (TextWindows, TextWindows),
    ) -> Result<Self, StageError> {
        let n_layers = decoder.slots.len();
        let (mut parameters, mut layer_of, mut own) = (Vec::new(), Vec::new(), Vec::new());
        let mut running = Vec::new();
        for (layer, substitute) in substitutes.into_iter().enumerate() {
            let trainable = substitute.trainable;
            let mut leaf = |tensor: Tensor| -> Result<Tensor, StageError> {
                let tensor = tensor.to_device(decoder.device())?;
                if !trainable {
                    return Ok(tensor);
                }
                let leaf = tensor.contiguous()?.deep_copy()?.set_requires_grad(true)?;
                parameters.push(leaf.clone());
                layer_of.push(layer);
                Ok(leaf)
            };
            let module: Module<Tensor> = substitute.module.try_map(&mut leaf)?;
            running.push(Some(in_slots(module.clone(), &|shared| (shared < n_layers).then_some(shared))?));
            own.push(Substitute { module, trainable });
        }
        decoder.substitutes = running;
        let optimiser = AdamW::new(AdamWOptions::default(), &parameters)?;
        let objective = Objective::new(1.0, ObjectiveTerm::NextToken);
        let (substitutes, trained, judged) = (own, 0, 0);
        Ok(Self { decoder, substitutes, parameters, layer_of, optimiser, objective, train, held_out, trained, judged })
    }

    /// The same, training towards the replacer's objective if it has one.
    #[must_use]
    pub fn towards(mut self, objective: Option<Objective>) -> Self {
        self.objective = objective.unwrap_or(self.objective);
        self
    }

    /// The substitutes as they are now.
    pub fn into_substitutes(self) -> Vec<Substitute<Tensor>> {
        self.substitutes
    }

    /// Mean loss of every mixture on the same next held-out batch.
    pub fn losses(&mut self, masks: &[LayerMask]) -> Result<Vec<f64>, StageError> {
        let batch = self.held_out.batch(self.judged);
        self.judged += 1;
        let losses = self.decoder.losses(&batch.batch, &batch.targets, masks)?;
        losses.into_iter().map(|loss| self.finite(self.judged, "a held-out loss", f64::from(loss))).collect()
    }

    /// One step on the trainable substitutes that the mask lets run, towards `objective` or else the replacer's.
    pub fn train_step(&mut self, step: &TrainStep, objective: Option<&Objective>) -> Result<StepReport, StageError> {
        let batch = self.train.batch(self.trained);
        for parameter in &self.parameters {
            parameter.zero_grad()?;
        }
        let sides = Sides { full: &self.decoder, mixture: &self.decoder, mask: Some(&step.mask) };
        let (loss, value) = objective::loss(sides, &batch, objective.unwrap_or(&self.objective), self.trained)?;
        loss.backward()?;
        let replaced = |layer: usize| step.mask.original.get(layer) == Some(&false);
        let layer_of = &self.layer_of;
        let active = |index: usize| layer_of.get(index).copied().is_some_and(replaced);
        self.optimiser.step_active(&mut self.parameters, step.learning_rate, 1.0, &active)?;
        self.trained += 1;
        Ok(StepReport { loss: value })
    }

    /// One number per layer on the next held-out batch.
    pub fn layer_statistics(&mut self, statistic: LayerStatistic) -> Result<Vec<f64>, StageError> {
        let batch = self.held_out.batch(self.judged);
        self.judged += 1;
        let states = self.decoder.layer_states(&batch.batch)?;
        let pairs = states.iter().zip(states.iter().skip(1));
        pairs.map(|(input, output)| layer_statistic(statistic, input, output)).collect()
    }

    fn finite(&self, step: u64, what: &str, found: f64) -> Result<f64, StageError> {
        if found.is_finite() {
            return Ok(found);
        }
        let advice = "Lower the learning rate, or look for damaged text.";
        Err(StageError::Numeric { step, what: what.into(), found, advice })
    }
}

/// `input` and `output` are `[tokens, hidden]`.
fn layer_statistic(statistic: LayerStatistic, input: &Tensor, output: &Tensor) -> Result<f64, StageError> {
    let dot = |a: &Tensor, b: &Tensor| a.mul(b).and_then(|product| product.sum(1, false));
    let per_token = match statistic {
        LayerStatistic::InputOutputCosine => {
            let norms = dot(input, input)?.mul(&dot(output, output)?)?.sqrt()?;
            dot(input, output)?.div(&norms)?
        }
        LayerStatistic::RelativeChange => {
            let change = output.sub(input)?;
            dot(&change, &change)?.div(&dot(output, output)?)?
        }
    };
    Ok(per_token.mean_all()?.to_f64()?)
}
