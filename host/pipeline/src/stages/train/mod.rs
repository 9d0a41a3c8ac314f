//! Side: model owner. Takes: the layer plan, substitutes, public text. Gives: trained substitutes, trained kept layers.
//! Plugin kind: replace (its objective; without one, its trainable substitutes learn the next token).
//!
//! The emulator trains beside the full model, which stays as it is: what trains are copies, and plug-in never reads them.

mod run;
mod student;
mod write;

pub use student::Student;
pub use write::{described_substitutes, write};

use crate::artefacts::TrainingLog;
use crate::error::StageError;
use crate::mixture::PublicText;
use crate::objective::{self, Sides};
use crate::progress::Progress;
use crate::stage::Stage;
use crate::training::{self, EachPart, FinalState, StepLoss, TrainSettings, TrainingInputs, validation_loss};
use scaleot_data::TrainingBatch;
use scaleot_model::Decoder;
use scaleot_plugin_api::{Objective, ObjectiveTerm};
use scaleot_store::Checkpoints;

/// The inputs of the owner's training.
pub struct TrainInputs<'a> {
    /// The full model.
    pub full: &'a Decoder,
    /// The emulator, with a slot for every layer of the full model.
    pub student: &'a Student,
    /// The minimised objective.
    pub objective: &'a Objective,
    /// Public text to train on and to be judged on.
    pub text: &'a PublicText,
    /// The course of the training.
    pub settings: TrainSettings,
}

/// The history of a training; its result is in the student.
pub struct Trained {
    /// Mean next-token loss on held-out text before the first step, in nats per target.
    pub before: f64,
    /// The step whose state the student has.
    pub step: u64,
    /// The history since then.
    pub log: TrainingLog,
}

/// Trains the emulator.
///
/// # Errors
/// The error of a step, or `Interrupted` (a checkpoint is kept then).
pub fn train(
    inputs: TrainInputs<'_>,
    checkpoints: &Checkpoints<'_>,
    progress: &mut dyn Progress,
) -> Result<Trained, StageError> {
    let TrainInputs { full, student, objective, text, settings } = inputs;
    let (decoder, PublicText { train, held_out }) = (&student.decoder, text);
    let before = validation_loss(decoder, held_out)?;
    progress.log(&format!("train: before the first step, validation loss {before:.4} nats per target"));
    let towards = move |parts: &[TrainingBatch], step: u64, each: &mut EachPart<'_>| {
        let sides = Sides { full, mixture: decoder, mask: None };
        objective::step_loss(sides, parts, objective, step, each)
    };
    let loss: Box<StepLoss<'_>> = Box::new(towards);
    let work = TrainingInputs {
        decoder,
        parameters: student.leaves(),
        train,
        validation: held_out,
        settings,
        loss: Some(loss),
        state: final_state(objective),
    };
    let log = training::train(work, None, checkpoints, Stage::Train, progress)?;
    let kept_best = final_state(objective) == FinalState::Best;
    if kept_best && log.validations.iter().all(|validation| validation.validation_loss > before) {
        progress.log(
            "train: on held-out text the emulator is worse than before the first step; \
             lower train.learning_rate, set train.warmup_steps, or take more steps",
        );
    }
    let step = if kept_best { log.best_step } else { log.steps };
    Ok(Trained { before, step, log })
}

/// An objective that holds the emulator at a distance would be undone by the choice of the lowest loss.
fn final_state(objective: &Objective) -> FinalState {
    let keeps_distance = objective.terms.iter().any(|(_, term)| matches!(term, ObjectiveTerm::LossMargin { .. }));
    if keeps_distance { FinalState::Last } else { FinalState::Best }
}
