//! Tuning steps as an adapter's plugin takes them, and what it may ask of the host meanwhile.
//!
//! A request to stop waits for the end of the step: there everything that decides the future can be kept.

use super::trainer::Trainer;
use crate::artefacts::Curves;
use crate::error::{StageError, told_to_plugin};
use crate::progress::Progress;
use crate::seed::seed_for;
use scaleot_data::Batches;
use scaleot_plugin_api::services::{CurvePoints, GradientStep, Notices, Outline, Seed, Service as _};
use scaleot_plugin_api::{ErrorCode, ModelOutline, Notice, PluginError, StepReport, unknown_service};
use scaleot_plugins::{AdapterHandle, Questions};
use scaleot_store::escape::escape;
use serde::Serialize;

/// An adapter's plugin in a tuning.
pub struct AdapterSteps<'a> {
    /// The strategy.
    pub handle: &'a mut AdapterHandle,
    /// Of the emulator.
    pub outline: ModelOutline,
    /// The tuning's seed.
    pub seed: u64,
    /// Curves that the plugin has recorded.
    pub curves: Curves,
}

impl AdapterSteps<'_> {
    /// One step of the plugin's own.
    ///
    /// # Errors
    /// The plugin's error; the trainer's own where that was the cause.
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
            GradientStep::NAME => json(&self.gradient_step()?),
            Outline::NAME => json(self.outline),
            Seed::NAME => Seed::answer(question, |purpose| Ok(seed_for(self.seed, &purpose))),
            Notices::NAME => Notices::answer(question, |notice| {
                self.notice(&notice);
                Ok(())
            }),
            CurvePoints::NAME => json(&self.record(question)?),
            _ => Err(unknown_service(name)),
        }
    }
}

fn json<T: Serialize + ?Sized>(answer: &T) -> Result<Vec<u8>, PluginError> {
    Ok(serde_json::to_vec(answer)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::outline;
    use crate::progress::Silent;
    use crate::training::{AdamWOptions, Schedule, StepBatches, TrainSettings, attach};
    use scaleot_data::{TextOptions, TextWindows};
    use scaleot_model::Model;
    use scaleot_plugin_api::{AdapterModule, AdapterPart};
    use scaleot_tensor::{Device, Dtype};

    /// Everything that the contract offers during a step is answered, and the trainer's own step is one of ours.
    #[test]
    fn a_step_may_ask_for_what_is_offered() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/llama");
        let mut decoder = Model::load(&folder, Device::Cpu, Dtype::F32).unwrap().decoder;
        let whole = AdapterModule::new(vec![AdapterPart::WholeLayer]);
        let leaves =
            attach(&mut decoder, 0, &whole, 0).unwrap().into_iter().map(|parameter| parameter.tensor).collect();
        let options = TextOptions { block_length: 8, batch_size: 2, seed: 0 };
        let text = TextWindows::from_tokens("tokens", (0..64).collect(), options).unwrap();
        let settings = TrainSettings {
            learning_rate: 1e-3,
            steps: 2,
            batches: StepBatches { per_epoch: 4, accumulation: 1 },
            adamw: AdamWOptions::default(),
            schedule: Schedule::Constant,
            warmup_steps: 0,
            clip_norm: None,
            evaluate_every: 1,
            checkpoint_every: 1,
        };
        let mut trainer = Trainer::new(&decoder, leaves, settings).unwrap();
        let (outline, mut curves) = (outline(&decoder), Curves::default());
        let mut questions = TunerQuestions {
            trainer: &mut trainer,
            train: &text,
            progress: &mut Silent,
            outline: &outline,
            seed: 7,
            curves: &mut curves,
            failed: None,
        };
        let mut ask = |name: &str, question: &str| questions.answer(name, question.as_bytes());
        assert_eq!(ask(Seed::NAME, "\"order\"").unwrap(), ask(Seed::NAME, "\"order\"").unwrap());
        assert_ne!(ask(Seed::NAME, "\"order\"").unwrap(), ask(Seed::NAME, "\"noise\"").unwrap());
        assert_eq!(ask(Outline::NAME, "null").unwrap(), serde_json::to_vec(&outline).unwrap());
        ask(Notices::NAME, r#"{"kind":"log","message":"here"}"#).unwrap();
        ask(Notices::NAME, r#"{"kind":"progress","done":1,"total":2,"state":[]}"#).unwrap();
        ask(CurvePoints::NAME, r#"{"curve":"mine","step":1,"values":[0.5]}"#).unwrap();
        let report: StepReport = serde_json::from_slice(&ask(GradientStep::NAME, "null").unwrap()).unwrap();
        assert!(report.loss > 0.0);
        assert!(ask("losses", "[]").is_err());
        assert_eq!(curves.points(), 1);
        assert_eq!(trainer.log().steps, 1);
    }
}
