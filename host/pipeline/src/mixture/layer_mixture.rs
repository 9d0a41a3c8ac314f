//! A layer mixture: the full model with a substitute beside every layer, public text to train on and to be judged on.
//!
//! Training steps change substitutes only: the backbone is frozen, gradients flow through it. Batches are counted, so that
//! the same seed sees the same text in the same order.

use super::curvature::{CurvatureSource, LayerCurvature};
use super::local_fit::LocalTargets;
use super::public_text::PublicText;
use super::{similarity, statistics};
use crate::artefacts::{TensorFile, in_slots};
use crate::error::StageError;
use crate::objective::{self, Sides};
use crate::training::{AdamW, AdamWOptions, LossScale, Moments};
use scaleot_data::{Batches, TextWindows};
use scaleot_model::Decoder;
use scaleot_plugin_api::{
    CurvatureRequest, FitReport, FitStep, LayerMask, LayerStatistic, Module, Objective, ObjectiveTerm,
    SimilarityRequest, StepReport, Substitute, TrainStep,
};
use scaleot_tensor::{Dtype, Tensor, no_grad};
use serde::{Deserialize, Serialize};

/// The model, its substitutes, and the text.
pub struct Mixture {
    decoder: Decoder,
    substitutes: Vec<Substitute<Tensor>>,
    /// Trainable tensors with the layer that each belongs to.
    parameters: Vec<Tensor>,
    layer_of: Vec<usize>,
    optimiser: AdamW,
    /// Of local fitting, whose gradients are of another size; gone with the first training step.
    fit: Option<AdamW>,
    /// The objective of a training step that names none.
    objective: Objective,
    train: TextWindows,
    held_out: TextWindows,
    trained: u64,
    judged: u64,
    scale: LossScale,
    curvature: CurvatureSource,
}

/// The state of a mixture beside the substitutes and the moments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixtureState {
    trained: u64,
    judged: u64,
    /// Steps of each parameter.
    steps: Vec<u64>,
    /// The same for local fitting, while it goes on.
    fit_steps: Option<Vec<u64>>,
    /// The factor of losses on the way back.
    scale: f64,
}

impl Mixture {
    /// Installs a substitute beside every layer; those that are trainable get tensors of their own.
    ///
    /// # Errors
    /// A substitute that shares a layer which does not exist, or no memory.
    pub fn new(
        mut decoder: Decoder,
        substitutes: Vec<Substitute<Tensor>>,
        text: PublicText,
    ) -> Result<Self, StageError> {
        let PublicText { train, held_out } = text;
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
                let leaf = tensor.to_dtype(Dtype::F32)?.contiguous()?.deep_copy()?.set_requires_grad(true)?;
                parameters.push(leaf.clone());
                layer_of.push(layer);
                Ok(leaf)
            };
            let module: Module<Tensor> = substitute.module.try_map(&mut leaf)?;
            running.push(Some(in_slots(module.clone(), &|shared| (shared < n_layers).then_some(shared))?));
            own.push(Substitute::new(module, trainable));
        }
        decoder.substitutes = running;
        let optimiser = AdamW::new(AdamWOptions::default(), &parameters)?;
        let scale = LossScale::of(decoder.dtype());
        let objective = Objective::new(1.0, ObjectiveTerm::NextToken);
        Ok(Self {
            decoder,
            substitutes: own,
            parameters,
            layer_of,
            optimiser,
            objective,
            fit: None,
            train,
            held_out,
            trained: 0,
            judged: 0,
            scale,
            curvature: CurvatureSource::default(),
        })
    }

    /// The same, training towards the replacer's objective if it has one.
    #[must_use]
    pub fn towards(mut self, objective: Option<Objective>) -> Self {
        self.objective = objective.unwrap_or(self.objective);
        self
    }

    /// The substitutes as they are now.
    pub fn substitutes(&self) -> &[Substitute<Tensor>] {
        &self.substitutes
    }

    /// Batches seen so far, of both kinds.
    pub fn batches_seen(&self) -> u64 {
        self.trained + self.judged
    }

    /// The content of a checkpoint beside the substitutes: counters, and moments by name.
    pub fn state(&self) -> (MixtureState, Vec<(String, Tensor)>) {
        let mut moments = Vec::new();
        let mut steps_of = |optimiser: &AdamW, prefix: &str| {
            let mut steps = Vec::new();
            for (index, state) in optimiser.state().iter().enumerate() {
                steps.push(state.steps);
                moments.push((format!("{prefix}{index}.first"), state.first.clone()));
                moments.push((format!("{prefix}{index}.second"), state.second.clone()));
            }
            steps
        };
        let steps = steps_of(&self.optimiser, "train.");
        let fit_steps = self.fit.as_ref().map(|fit| steps_of(fit, "fit."));
        (MixtureState { trained: self.trained, judged: self.judged, steps, fit_steps, scale: self.scale.0 }, moments)
    }

    /// Takes up what [`state`](Self::state) gave; the substitutes are those of the checkpoint already. Where nothing trains there
    /// are no moments, and no file.
    ///
    /// # Errors
    /// A moment that is missing or has another shape.
    pub fn restore(&mut self, state: &MixtureState, file: Option<&TensorFile>) -> Result<(), StageError> {
        let read = |steps: &[u64], prefix: &str| -> Result<Vec<Moments>, StageError> {
            let each = self.parameters.iter().zip(steps).enumerate();
            let moments = each.map(|(index, (parameter, &steps))| {
                let load = |part: &str| -> Result<Tensor, StageError> {
                    let file = file.ok_or_else(no_moments)?;
                    let tensor = file.get(&format!("{prefix}{index}.{part}"), &parameter.shape())?;
                    Ok(tensor.deep_copy()?.to_device(parameter.device())?)
                };
                Ok(Moments { steps, first: load("first")?, second: load("second")? })
            });
            moments.collect()
        };
        let moments = read(&state.steps, "train.")?;
        let fit = state.fit_steps.as_ref().map(|steps| read(steps, "fit.")).transpose()?;
        self.optimiser.restore(moments);
        self.fit = match fit {
            None => None,
            Some(moments) => {
                let mut optimiser = AdamW::new(AdamWOptions::default(), &self.parameters)?;
                optimiser.restore(moments);
                Some(optimiser)
            }
        };
        (self.trained, self.judged, self.scale) = (state.trained, state.judged, LossScale(state.scale));
        Ok(())
    }

    /// One frozen pass, then steps of every trainable substitute towards its own layer's output.
    pub fn fit_step(&mut self, step: &FitStep) -> Result<FitReport, StageError> {
        let last = self.trained + u64::from(step.windows).div_ceil(self.train.batch_size() as u64).max(1);
        let batch = self.train.batches(self.trained..last).batch;
        let targets = LocalTargets::of(&self.decoder, &batch, step.weight)?;
        let trains: Vec<bool> = self.substitutes.iter().map(|substitute| substitute.trainable).collect();
        let mut fit = match self.fit.take() {
            Some(fit) => fit,
            None => AdamW::new(AdamWOptions::default(), &self.parameters)?,
        };
        let mut before = None;
        for _ in 0..step.steps {
            let mut residuals = Vec::new();
            let (gradients, norm) = self.scale.gradients(&self.parameters, &mut |each| {
                residuals = targets.residuals(&self.decoder, &batch, &trains, each)?;
                Ok(())
            })?;
            for &residual in &residuals {
                self.finite(self.trained, "a residual", residual)?;
            }
            self.finite(self.trained, "the gradient norm", norm)?;
            before.get_or_insert(residuals);
            fit.step(&mut self.parameters, gradients.as_slice(), step.learning_rate, gradients.unscale())?;
        }
        let residuals = match before {
            Some(residuals) => residuals,
            None => {
                let _guard = no_grad();
                targets.residuals(&self.decoder, &batch, &vec![false; trains.len()], &mut |_| Ok(()))?
            }
        };
        (self.fit, self.trained) = (Some(fit), last);
        Ok(FitReport::new(residuals))
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

    /// For every layer, true where its substitute has tensors to train.
    pub fn trainable_layers(&self) -> Vec<bool> {
        (0..self.substitutes.len()).map(|layer| self.layer_of.contains(&layer)).collect()
    }

    /// One step on the trainable substitutes that the mask lets run, towards `objective` or else the replacer's.
    pub fn train_step(&mut self, step: &TrainStep, objective: Option<&Objective>) -> Result<StepReport, StageError> {
        let batch = self.train.batch(self.trained);
        let replaced = |layer: usize| step.mask.original.get(layer) == Some(&false);
        let layer_of = &self.layer_of;
        let active = |index: usize| layer_of.get(index).copied().is_some_and(replaced);
        if !(0..self.parameters.len()).any(active) {
            return Err(nothing_trains());
        }
        let sides = Sides { full: &self.decoder, mixture: &self.decoder, mask: Some(&step.mask) };
        let (objective, mut value) = (objective.unwrap_or(&self.objective), 0.0);
        let (gradients, norm) = self.scale.gradients(&self.parameters, &mut |each| {
            let (loss, found) = objective::loss(sides, &batch, objective, self.trained)?;
            value = found;
            each(loss)
        })?;
        self.finite(self.trained, "the gradient norm", norm)?;
        let gradients = gradients.only(&active);
        let scale = gradients.unscale();
        self.optimiser.step(&mut self.parameters, gradients.as_slice(), step.learning_rate, scale)?;
        self.fit = None;
        self.trained += 1;
        Ok(StepReport::new(value))
    }

    /// One number per layer on the next held-out batch.
    pub fn layer_statistics(&mut self, statistic: LayerStatistic) -> Result<Vec<f64>, StageError> {
        let batch = self.held_out.batch(self.judged);
        self.judged += 1;
        let numbers = statistics::layer_statistics(&self.decoder, &batch, statistic)?;
        numbers.into_iter().map(|number| self.finite(self.judged, "a layer statistic", number)).collect()
    }

    /// The same; curvature will be asked for these layers alone.
    #[must_use]
    pub fn curvature_only_of(mut self, layers: Vec<usize>) -> Self {
        self.curvature.only(layers);
        self
    }

    /// The loss around a layer's matrices, over public training text.
    pub fn layer_curvature(&mut self, request: CurvatureRequest) -> Result<LayerCurvature, StageError> {
        self.curvature.layer(&self.decoder, &self.train, request)
    }

    /// Linear CKA of the outputs of all layers.
    pub fn output_similarity(&self, request: SimilarityRequest) -> Result<Vec<Vec<f64>>, StageError> {
        similarity::output_similarity(&self.decoder, &self.held_out, request)
    }

    /// Advice fits what was done so far: where nothing has trained, no learning rate is to blame.
    fn finite(&self, step: u64, what: &str, found: f64) -> Result<f64, StageError> {
        if found.is_finite() {
            return Ok(found);
        }
        let has_trained = self.optimiser.state().iter().any(|moments| moments.steps > 0) || self.fit.is_some();
        let advice = if has_trained {
            "Lower the learning rate, or look for damaged text."
        } else {
            "Nothing has trained yet: look for damaged weights or text, or take model.dtype = \"fp32\"."
        };
        Err(StageError::Numeric { step, what: what.into(), found, advice })
    }
}

fn no_moments() -> StageError {
    StageError::InvalidValue {
        subject: "the checkpoint".into(),
        what: "moments of what trains".into(),
        found: "none".into(),
        expected: "those of every tensor; remove the checkpoint to start the stage over".into(),
    }
}

fn nothing_trains() -> StageError {
    StageError::InvalidValue {
        subject: "train_step".into(),
        what: "the mask".into(),
        found: "no replaced layer with a substitute that trains".into(),
        expected: "at least one; `trainable_layers` says which layers have one".into(),
    }
}
