//! Training of tensors of a decoder by AdamW: adapters of an emulator, the emulator as the owner trains it, the whole model.

mod adamw;
mod adapter_steps;
mod attach;
mod checkpoint;
mod gradients;
mod loss_scale;
mod pairs;
mod schedule;
mod settings;
mod step_batches;
mod step_loss;
mod trainer;

pub use adamw::{AdamW, AdamWOptions, Moments};
pub use adapter_steps::AdapterSteps;
pub use attach::attach;
pub use checkpoint::CHECKPOINT;
pub use gradients::Gradients;
pub use loss_scale::LossScale;
pub use pairs::{Pairs, read_pairs};
pub use schedule::Schedule;
pub use settings::train_settings;
pub use step_batches::StepBatches;
pub use step_loss::{EachPart, StepLoss};
pub use trainer::{TrainSettings, Trainer, TrainerState, validation_loss};

use crate::artefacts::TrainingLog;
use crate::error::StageError;
use crate::progress::Progress;
use crate::stage::Stage;
use scaleot_data::Batches;
use scaleot_model::Decoder;
use scaleot_store::Checkpoints;
use scaleot_tensor::Tensor;
use std::cell::RefCell;

/// The tensors that train, and the data that they train on.
pub(crate) struct TrainingInputs<'a> {
    /// Runs on the leaves of `parameters`.
    pub decoder: &'a Decoder,
    /// The leaves.
    pub parameters: Vec<Tensor>,
    /// Training pairs.
    pub train: &'a dyn Batches,
    /// Held-out pairs: the best state is chosen by the loss on these.
    pub validation: &'a dyn Batches,
    /// The course of the training.
    pub settings: TrainSettings,
    /// The minimised loss; `None`: that of the next token.
    pub loss: Option<Box<StepLoss<'a>>>,
    /// The state that the decoder has in the end.
    pub state: FinalState,
}

/// The state that a training leaves in the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FinalState {
    /// That of the lowest validation loss.
    Best,
    /// That of the last step.
    Last,
}

/// Trains from the last checkpoint or from the start; leaves the final state in the decoder.
///
/// # Errors
/// The error of a step, or `Interrupted` (a checkpoint is kept then).
pub(crate) fn train(
    inputs: TrainingInputs<'_>,
    adapter: Option<&mut AdapterSteps<'_>>,
    checkpoints: &Checkpoints<'_>,
    stage: Stage,
    progress: &mut dyn Progress,
) -> Result<TrainingLog, StageError> {
    let TrainingInputs { decoder, parameters, train, validation, settings, loss, state } = inputs;
    let mut trainer = Trainer::new(decoder, parameters, settings)?;
    if let Some(loss) = loss {
        trainer = trainer.minimising(loss);
    }
    // A step and a checkpoint both call the adapter, one after the other.
    let adapter = RefCell::new(adapter);
    checkpoint::resume(&mut trainer, adapter.borrow_mut().as_deref_mut(), checkpoints, progress)?;
    let mut take_step =
        |trainer: &mut Trainer<'_>, progress: &mut dyn Progress| match adapter.borrow_mut().as_deref_mut() {
            None => trainer.gradient_step(train),
            Some(adapter) => adapter.step(trainer, train, progress),
        };
    let mut keep = |trainer: &Trainer<'_>| checkpoint::save(trainer, adapter.borrow_mut().as_deref_mut(), checkpoints);
    trainer.run(validation, &mut take_step, &mut keep, stage, progress)?;
    match state {
        FinalState::Best => trainer.take_best(),
        FinalState::Last => Ok(trainer.log().clone()),
    }
}
