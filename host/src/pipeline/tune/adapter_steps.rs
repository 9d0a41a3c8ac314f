//! Tuning steps as an adapter's plugin takes them, and what it may ask of the host meanwhile.
//!
//! A request to stop waits for the end of the step: there everything that decides the future can be kept.

use super::trainer::Trainer;
use crate::data::Batches;
use crate::fault::escape;
use crate::pipeline::error::{StageError, told_to_plugin};
use crate::pipeline::importance::{Curves, seed_for};
use crate::pipeline::progress::Progress;
use crate::plugins::{AdapterHandle, Questions};
use plugin_api::{ErrorCode, ModelOutline, Notice, PluginError, StepReport, unknown_service};
use serde::Serialize;

/// An adapter's plugin in a tuning.
pub struct AdapterSteps<'a> {
    /// The strategy.
    pub handle: &'a mut AdapterHandle,
    /// Of the emulator.
    pub outline: ModelOutline,
    /// The tuning's seed.
    pub seed: u64,
    /// What the plugin has recorded.
    pub curves: Curves,
}

impl AdapterSteps<'_> {
    /// One step of the plugin's own.
    ///
    /// # Errors
    /// What the plugin returned; the trainer's own error where that was the cause.
    pub fn step(
        &mut self,
        trainer: &mut Trainer<'_>,
        train: &dyn Batches,
        progress: &mut dyn Progress,
    ) -> Result<StepReport, StageError> {
        let (outline, curves) = (&self.outline, &mut self.curves);
        let mut questions = TunerQuestions { trainer, train, progress, outline, seed: self.seed, curves, failed: None };
        let stepped = self.handle.step(&mut questions);
        // The trainer's own error says more than what the plugin was told.
        match questions.failed {
            Some(error) => Err(error),
            None => Ok(stepped?),
        }
    }
}

/// Answers a plugin during its step.
struct TunerQuestions<'a, 'b> {
    trainer: &'a mut Trainer<'b>,
    train: &'a dyn Batches,
    progress: &'a mut dyn Progress,
    outline: &'a ModelOutline,
    seed: u64,
    curves: &'a mut Curves,
    failed: Option<StageError>,
}

impl TunerQuestions<'_, '_> {
    fn gradient_step(&mut self) -> Result<StepReport, PluginError> {
        self.trainer.gradient_step(self.train).map_err(|error| {
            let told = told_to_plugin(&error);
            self.failed = Some(error);
            told
        })
    }

    /// The stage has a progress of its own, in steps.
    fn notice(&mut self, notice: &Notice) {
        if let Notice::Log { message } = notice {
            self.progress.log(&escape(message));
        }
    }

    fn record(&mut self, question: &[u8]) -> Result<(), PluginError> {
        let refused = |fault| PluginError::new(ErrorCode::Host, fault);
        self.curves.add(serde_json::from_slice(question)?).map_err(refused)
    }
}

impl Questions for TunerQuestions<'_, '_> {
    fn answer(&mut self, name: &str, question: &[u8]) -> Result<Vec<u8>, PluginError> {
        match name {
            "gradient_step" => json(&self.gradient_step()?),
            "outline" => json(self.outline),
            "seed" => json(&seed_for(self.seed, &serde_json::from_slice::<String>(question)?)),
            "notice" => json(&self.notice(&serde_json::from_slice(question)?)),
            "record" => json(&self.record(question)?),
            _ => Err(unknown_service(name)),
        }
    }
}

fn json<T: Serialize + ?Sized>(answer: &T) -> Result<Vec<u8>, PluginError> {
    Ok(serde_json::to_vec(answer)?)
}
