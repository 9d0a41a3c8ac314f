//! The training loop: a loss (that of the next token unless another is given), AdamW, schedule, clipping, accumulation, and the
//! best state by validation loss.
//!
//! One optimiser step is up to `accumulation` batches, and its loss is that of all of them as one: however the targets are cut in
//! batches, loss and gradients are the same. Parameters are fp32, whatever the model is stored in. The gradient norm is taken over
//! all parameters (2-norm), as `torch.nn.utils.clip_grad_norm_`.
//! Recipe: Offsite-Tuning, section 4.4.

use super::adamw::{AdamW, AdamWOptions, Moments};
use super::loss_scale::LossScale;
use super::schedule::{Schedule, rate_factor};
use super::step_batches::StepBatches;
use super::step_loss::{EachPart, StepLoss};
use crate::artefacts::{TrainingLog, Validation};
use crate::error::StageError;
use crate::progress::{Progress, stop_requested};
use crate::stage::Stage;
use scaleot_data::{Batches, TrainingBatch};
use scaleot_model::Decoder;
use scaleot_plugin_api::StepReport;
use scaleot_tensor::{Tensor, no_grad};
use serde::{Deserialize, Serialize};

/// The course of a training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainSettings {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Optimiser steps in all.
    pub steps: u64,
    /// Batches per optimiser step.
    pub batches: StepBatches,
    /// AdamW's constants.
    pub adamw: AdamWOptions,
    /// The schedule of the learning rate.
    pub schedule: Schedule,
    /// Steps of warm-up.
    pub warmup_steps: u64,
    /// Largest gradient norm; `None` leaves gradients alone.
    pub clip_norm: Option<f64>,
    /// Validation after this many steps, and after the last.
    pub evaluate_every: u64,
    /// Checkpoint after this many steps, after every validation and on a request to stop.
    pub checkpoint_every: u64,
}

/// Numbers that decide the future of a training beside its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerState {
    log: TrainingLog,
    /// Loss summed over targets, and targets, since the last validation.
    running: (f64, u64),
    /// Steps in which each parameter took part.
    steps_of: Vec<u64>,
    /// The factor of the loss on the way back.
    scale: f64,
}

/// Finds a tensor of a checkpoint by name and shape.
pub type FindTensor<'a> = dyn Fn(&str, &[i64]) -> Result<Tensor, StageError> + 'a;

/// A decoder in training.
pub struct Trainer<'a> {
    decoder: &'a Decoder,
    loss: Box<StepLoss<'a>>,
    parameters: Vec<Tensor>,
    optimiser: AdamW,
    settings: TrainSettings,
    log: TrainingLog,
    best: Vec<Tensor>,
    running: (f64, u64),
    scale: LossScale,
}

impl<'a> Trainer<'a> {
    /// Training of these leaves of the decoder, towards the next token.
    ///
    /// # Errors
    /// Memory that cannot be had.
    pub fn new(decoder: &'a Decoder, parameters: Vec<Tensor>, settings: TrainSettings) -> Result<Self, StageError> {
        let optimiser = AdamW::new(settings.adamw, &parameters)?;
        let best = copies(&parameters)?;
        let log = TrainingLog::default();
        let loss =
            Box::new(move |parts: &[TrainingBatch], _, each: &mut EachPart<'_>| next_token(decoder, parts, each));
        let scale = LossScale::of(decoder.dtype());
        Ok(Self { decoder, loss, parameters, optimiser, settings, log, best, running: (0.0, 0), scale })
    }

    /// The same with another loss. Validation stays that of the next token.
    #[must_use]
    pub fn minimising(mut self, loss: Box<StepLoss<'a>>) -> Self {
        self.loss = loss;
        self
    }

    /// The history so far.
    pub fn log(&self) -> &TrainingLog {
        &self.log
    }

    /// One optimiser step; nothing is changed when a loss or the gradient norm is not finite.
    ///
    /// # Errors
    /// `Numeric` with the step.
    pub fn gradient_step(&mut self, batches: &dyn Batches) -> Result<StepReport, StageError> {
        let step = self.log.steps;
        let parts: Vec<TrainingBatch> = self.settings.batches.of(step).map(|batch| batches.batch(batch)).collect();
        let (mut loss, towards) = (0.0, &self.loss);
        let (gradients, norm) = self.scale.gradients(&self.parameters, &mut |each| {
            loss = 0.0;
            towards(&parts, step, &mut |part| {
                loss += finite(step, "the training loss", part.to_f64()?)?;
                each(part)
            })
        })?;
        let norm = finite(step, "the gradient norm", norm)?;
        // The small term is PyTorch's.
        let clip = self.settings.clip_norm.map_or(1.0, |limit| (limit / (norm + 1e-6)).min(1.0));
        let factor = rate_factor(self.settings.schedule, step, self.settings.steps, self.settings.warmup_steps);
        let (rate, scale) = (self.settings.learning_rate * factor, clip * gradients.unscale());
        self.optimiser.step(&mut self.parameters, gradients.as_slice(), rate, scale)?;
        self.log.steps += 1;
        let targets = targets(&parts);
        self.running = (self.running.0 + loss * targets as f64, self.running.1 + targets);
        Ok(StepReport::new(loss))
    }

    /// True where a validation is due after the steps just taken.
    fn is_due(&self, before: u64) -> bool {
        self.log.steps >= self.settings.steps || passed(before, self.log.steps, self.settings.evaluate_every)
    }

    fn validate(&mut self, validation: &dyn Batches) -> Result<Validation, StageError> {
        let loss = validation_loss(self.decoder, validation)?;
        let validation_loss = finite(self.log.steps, "the validation loss", loss)?;
        let train_loss = self.running.0 / self.running.1.max(1) as f64;
        self.running = (0.0, 0);
        let entry = Validation { step: self.log.steps, train_loss, validation_loss };
        let best_so_far = self.log.validations.iter().map(|v| v.validation_loss).fold(f64::INFINITY, f64::min);
        if validation_loss < best_so_far {
            self.log.best_step = self.log.steps;
            self.best = copies(&self.parameters)?;
        }
        self.log.validations.push(entry);
        Ok(entry)
    }

    /// The content of a checkpoint: numbers, and every tensor that decides the future (parameters, moments, the best state).
    pub fn state(&self) -> (TrainerState, Vec<(String, Tensor)>) {
        let mut tensors = Vec::new();
        let all = self.parameters.iter().zip(self.optimiser.state()).zip(&self.best).enumerate();
        for (index, ((parameter, moments), best)) in all {
            tensors.push((format!("{index}.parameter"), parameter.clone()));
            tensors.push((format!("{index}.first"), moments.first.clone()));
            tensors.push((format!("{index}.second"), moments.second.clone()));
            tensors.push((format!("{index}.best"), best.clone()));
        }
        let steps_of = self.optimiser.state().iter().map(|moments| moments.steps).collect();
        (TrainerState { log: self.log.clone(), running: self.running, steps_of, scale: self.scale.0 }, tensors)
    }

    /// Takes up a checkpoint's state.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn restore(&mut self, state: TrainerState, find: &FindTensor<'_>) -> Result<(), StageError> {
        let _guard = no_grad();
        let mut moments = Vec::with_capacity(self.parameters.len());
        let steps_of = state.steps_of.iter().copied().chain(std::iter::repeat(0));
        for (index, ((parameter, best), steps)) in
            self.parameters.iter_mut().zip(&mut self.best).zip(steps_of).enumerate()
        {
            let (shape, device) = (parameter.shape(), parameter.device());
            let load = |part: &str| find(&format!("{index}.{part}"), &shape);
            parameter.copy_(&load("parameter")?)?;
            best.copy_(&load("best")?)?;
            let own = |part: &str| -> Result<Tensor, StageError> { Ok(load(part)?.deep_copy()?.to_device(device)?) };
            moments.push(Moments { steps, first: own("first")?, second: own("second")? });
        }
        self.optimiser.restore(moments);
        (self.log, self.running, self.scale) = (state.log, state.running, LossScale(state.scale));
        Ok(())
    }

    /// Puts the best state back into the decoder.
    ///
    /// # Errors
    /// When libtorch refuses the copy.
    pub fn take_best(&mut self) -> Result<TrainingLog, StageError> {
        let _guard = no_grad();
        for (parameter, best) in self.parameters.iter_mut().zip(&self.best) {
            parameter.copy_(best)?;
        }
        Ok(self.log.clone())
    }

    /// Trains to the last step; `take_step` takes one, `keep` is called after every validation and on a request to stop.
    ///
    /// # Errors
    /// The error of a step or of a checkpoint, or `Interrupted`.
    pub fn run(
        &mut self,
        validation: &dyn Batches,
        take_step: &mut dyn FnMut(&mut Self, &mut dyn Progress) -> Result<StepReport, StageError>,
        keep: &mut dyn FnMut(&Self) -> Result<(), StageError>,
        stage: Stage,
        progress: &mut dyn Progress,
    ) -> Result<(), StageError> {
        let stage = stage.label();
        progress.begin(stage, self.settings.steps);
        while self.log.steps < self.settings.steps {
            let before = self.log.steps;
            let report = take_step(self, &mut *progress)?;
            if self.log.steps == before {
                return Err(no_step(before));
            }
            progress.at(self.log.steps, &format!("loss {:.4}", report.loss));
            if self.is_due(before) {
                let at = self.validate(validation)?;
                progress.log(&format!(
                    "{stage}: step {}: training loss {:.4}, validation loss {:.4} nats per target",
                    at.step, at.train_loss, at.validation_loss
                ));
                keep(self)?;
            } else if passed(before, self.log.steps, self.settings.checkpoint_every) {
                keep(self)?;
            }
            if stop_requested() {
                keep(self)?;
                return Err(StageError::Interrupted { stage, step: self.log.steps });
            }
        }
        progress.end(&format!("best at step {} of {}", self.log.best_step, self.log.steps));
        Ok(())
    }
}

/// Mean loss over all targets of the set, in nats; no gradients.
///
/// # Errors
/// When the decoder cannot run.
pub fn validation_loss(decoder: &Decoder, pairs: &dyn Batches) -> Result<f64, StageError> {
    let (mut sum, mut count) = (0.0, 0usize);
    for step in 0..pairs.batches_per_epoch() {
        let batch = pairs.batch(step);
        let log_probs = decoder.log_probs(&batch.batch, &batch.targets)?;
        sum -= log_probs.iter().map(|&value| f64::from(value)).sum::<f64>();
        count += log_probs.len();
    }
    Ok(sum / count.max(1) as f64)
}

/// Mean cross-entropy over the targets of all parts.
fn next_token(decoder: &Decoder, parts: &[TrainingBatch], each: &mut EachPart<'_>) -> Result<(), StageError> {
    let all = targets(parts) as f64;
    for TrainingBatch { batch, targets } in parts {
        let loss = decoder.loss(batch, targets, None)?;
        each(if parts.len() == 1 { loss } else { loss.mul_scalar(targets.len() as f64 / all)? })?;
    }
    Ok(())
}

fn targets(parts: &[TrainingBatch]) -> u64 {
    parts.iter().map(|part| part.targets.len() as u64).sum()
}

/// True where the steps `before..=now` end or pass a multiple of `every`; an adapter's step may be several of ours.
fn passed(before: u64, now: u64, every: u64) -> bool {
    now / every.max(1) > before / every.max(1)
}

/// An adapter whose step does nothing would train for ever.
fn no_step(step: u64) -> StageError {
    StageError::InvalidValue {
        subject: "adapter".into(),
        what: format!("what its plugin did in step {step}"),
        found: "no gradient step".into(),
        expected: "at least one `gradient_step` of the tuner".into(),
    }
}

fn copies(parameters: &[Tensor]) -> Result<Vec<Tensor>, StageError> {
    parameters.iter().map(|parameter| Ok(parameter.detach()?.deep_copy()?)).collect()
}

fn finite(step: u64, what: &str, found: f64) -> Result<f64, StageError> {
    if found.is_finite() {
        return Ok(found);
    }
    let advice = "Lower learning_rate, or set clip_norm.";
    Err(StageError::Numeric { step, what: what.into(), found, advice })
}
