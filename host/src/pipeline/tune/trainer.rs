//! The training loop: a loss (that of the next token unless another is given), AdamW, schedule, clipping, accumulation, and the best state by validation loss.
//!
//! One optimiser step is `accumulation` batches; the loss of each is divided by their number. The gradient norm is taken over
//! all parameters (2-norm), as `torch.nn.utils.clip_grad_norm_`. Recipe: Offsite-Tuning, section 4.4.

use super::adamw::{AdamW, AdamWOptions, Moments};
use super::schedule::{Schedule, rate_factor};
use crate::data::{Batches, TrainingBatch};
use crate::model::Decoder;
use crate::pipeline::error::StageError;
use crate::pipeline::progress::{Progress, stop_requested};
use crate::tensor::{Tensor, no_grad};
use plugin_api::StepReport;
use serde::{Deserialize, Serialize};

/// How training goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainSettings {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Optimiser steps in all.
    pub steps: u64,
    /// Batches per optimiser step.
    pub accumulation: u64,
    /// AdamW's constants.
    pub adamw: AdamWOptions,
    /// How the learning rate moves.
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

/// One validation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// After this many steps.
    pub step: u64,
    /// Mean training loss since the last validation; that of the next token is in nats per target.
    pub train_loss: f64,
    /// Mean next-token loss on the validation set, in nats per target.
    pub validation_loss: f64,
}

/// What a checkpoint holds beside the tensors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingLog {
    /// Steps taken.
    pub steps: u64,
    /// Every validation so far.
    pub validations: Vec<Validation>,
    /// Step of the best validation.
    pub best_step: u64,
}

/// Finds a tensor of a checkpoint by name and shape.
pub type FindTensor<'a> = dyn Fn(&str, &[i64]) -> Result<Tensor, StageError> + 'a;

/// The loss of a training batch in a step, as a scalar to run backwards from.
pub type BatchLoss<'a> = dyn Fn(&TrainingBatch, u64) -> Result<Tensor, StageError> + 'a;

/// A decoder in training.
pub struct Trainer<'a> {
    decoder: &'a Decoder,
    loss: Box<BatchLoss<'a>>,
    parameters: Vec<Tensor>,
    optimiser: AdamW,
    settings: TrainSettings,
    log: TrainingLog,
    best: Vec<Tensor>,
    running: (f64, u64),
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
        let loss = Box::new(move |batch: &TrainingBatch, _| Ok(decoder.loss(&batch.batch, &batch.targets, None)?));
        Ok(Self { decoder, loss, parameters, optimiser, settings, log, best, running: (0.0, 0) })
    }

    /// The same with another loss. Validation stays that of the next token.
    #[must_use]
    pub fn minimising(mut self, loss: Box<BatchLoss<'a>>) -> Self {
        self.loss = loss;
        self
    }

    /// What happened so far.
    pub fn log(&self) -> &TrainingLog {
        &self.log
    }

    /// One optimiser step; nothing is changed when a loss or the gradient norm is not finite.
    ///
    /// # Errors
    /// `Numeric` with the step.
    pub fn gradient_step(&mut self, batches: &dyn Batches) -> Result<StepReport, StageError> {
        let (step, parts) = (self.log.steps, self.settings.accumulation.max(1));
        for parameter in &self.parameters {
            parameter.zero_grad()?;
        }
        let mut total = 0.0;
        for part in 0..parts {
            let batch = batches.batch(step * parts + part);
            let loss = (self.loss)(&batch, step)?;
            total += finite(step, "the training loss", loss.to_f64()?)? / parts as f64;
            let scaled = if parts == 1 { loss } else { loss.mul_scalar(1.0 / parts as f64)? };
            scaled.backward()?;
        }
        let scale = self.clip_scale(step)?;
        let factor = rate_factor(self.settings.schedule, step, self.settings.steps, self.settings.warmup_steps);
        self.optimiser.step(&mut self.parameters, self.settings.learning_rate * factor, scale)?;
        self.log.steps += 1;
        self.running = (self.running.0 + total, self.running.1 + 1);
        Ok(StepReport { loss: total })
    }

    fn clip_scale(&self, step: u64) -> Result<f64, StageError> {
        let _guard = no_grad();
        let mut squares = 0.0;
        for parameter in &self.parameters {
            if let Some(gradient) = parameter.grad()? {
                squares += gradient.norm()?.to_f64()?.powi(2);
            }
        }
        let norm = finite(step, "the gradient norm", squares.sqrt())?;
        // The small term is PyTorch's.
        Ok(self.settings.clip_norm.map_or(1.0, |limit| (limit / (norm + 1e-6)).min(1.0)))
    }

    /// Whether a validation is due after the step just taken.
    fn is_due(&self) -> bool {
        let steps = self.log.steps;
        steps == self.settings.steps || steps.is_multiple_of(self.settings.evaluate_every.max(1))
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

    /// Every tensor that decides the future, for a checkpoint: parameters, moments, the best state.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let mut state = Vec::new();
        let all = self.parameters.iter().zip(self.optimiser.state()).zip(&self.best).enumerate();
        for (index, ((parameter, moments), best)) in all {
            state.push((format!("{index}.parameter"), parameter.clone()));
            state.push((format!("{index}.first"), moments.first.clone()));
            state.push((format!("{index}.second"), moments.second.clone()));
            state.push((format!("{index}.best"), best.clone()));
        }
        state
    }

    /// Sum and number of training losses since the last validation, for a checkpoint.
    pub fn running(&self) -> (f64, u64) {
        self.running
    }

    /// Takes up a checkpoint's state.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn restore(
        &mut self,
        (log, running): (TrainingLog, (f64, u64)),
        find: &FindTensor<'_>,
    ) -> Result<(), StageError> {
        let _guard = no_grad();
        let mut moments = Vec::with_capacity(self.parameters.len());
        for (index, (parameter, best)) in self.parameters.iter_mut().zip(&mut self.best).enumerate() {
            let shape = parameter.shape();
            let load = |part: &str| find(&format!("{index}.{part}"), &shape);
            parameter.copy_(&load("parameter")?)?;
            best.copy_(&load("best")?)?;
            let (first, second) = (load("first")?.deep_copy()?, load("second")?.deep_copy()?);
            moments.push(Moments { steps: log.steps, first, second });
        }
        self.optimiser.restore(moments);
        (self.log, self.running) = (log, running);
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
    /// What a step or a checkpoint returned, or `Interrupted`.
    pub fn run(
        &mut self,
        validation: &dyn Batches,
        take_step: &mut dyn FnMut(&mut Self) -> Result<StepReport, StageError>,
        keep: &mut dyn FnMut(&Self) -> Result<(), StageError>,
        (stage, progress): (&'static str, &mut dyn Progress),
    ) -> Result<(), StageError> {
        progress.begin(stage, self.settings.steps);
        while self.log.steps < self.settings.steps {
            let before = self.log.steps;
            let report = take_step(self)?;
            if self.log.steps == before {
                return Err(StageError::Interrupted { stage, step: before });
            }
            progress.at(self.log.steps, &format!("loss {:.4}", report.loss));
            if self.is_due() {
                let at = self.validate(validation)?;
                progress.log(&format!(
                    "{stage}: step {}: training loss {:.4}, validation loss {:.4} nats per target",
                    at.step, at.train_loss, at.validation_loss
                ));
                keep(self)?;
            } else if self.log.steps.is_multiple_of(self.settings.checkpoint_every.max(1)) {
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
