//! Side: data owner. Takes: an emulator and (context, answer) pairs. Gives: the return with the adapter delta. Plugin kind: adapter.
//!
//! Full fine-tuning, the upper bound that only the model owner can run, and the owner's training of the emulator use the same trainer.

mod adamw;
mod adapter_steps;
mod attach;
mod gradients;
mod loss_scale;
mod parcel;
mod record;
mod schedule;
mod step_batches;
mod trainer;

pub use adamw::{AdamW, AdamWOptions, Moments};
pub use adapter_steps::AdapterSteps;
pub use attach::{Parameter, attach, put_back, tensor_mut};
pub use gradients::Gradients;
pub use loss_scale::LossScale;
pub use parcel::{ADAPTER, RETURN, ReturnArtefact, write_return};
pub use record::{TUNING, TuningRecord};
pub use schedule::Schedule;
pub use step_batches::StepBatches;
pub use trainer::{EachPart, StepLoss, TrainSettings, Trainer, TrainerState, TrainingLog, Validation, validation_loss};

use super::error::StageError;
use super::importance::Curves;
use super::progress::Progress;
use super::tensor_file::{TensorFile, write_tensors};
use scaleot_data::Batches;
use scaleot_model::Decoder;
use scaleot_store::{Checkpoints, ManifestHead, StoreError};
use scaleot_tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;

/// The format of checkpoints, which never leave the run folder.
pub const CHECKPOINT: ManifestHead = ManifestHead { format: "scaleot-checkpoint", version: 2 };

/// What is trained, on what.
pub struct TuneInputs<'a> {
    /// Runs on the leaves of `parameters`.
    pub decoder: &'a Decoder,
    /// The leaves.
    pub parameters: Vec<Tensor>,
    /// Training pairs.
    pub train: &'a dyn Batches,
    /// Held-out pairs: the best state is chosen by the loss on these.
    pub validation: &'a dyn Batches,
    /// How training goes.
    pub settings: TrainSettings,
    /// What is minimised; `None`: the loss of the next token.
    pub loss: Option<Box<StepLoss<'a>>>,
    /// Which state the decoder has in the end.
    pub state: FinalState,
}

/// Which state a training leaves in the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinalState {
    /// That of the lowest validation loss.
    Best,
    /// That of the last step.
    Last,
}

/// Trains from the last checkpoint or from the start; leaves the final state in the decoder.
///
/// # Errors
/// What a step returned, or `Interrupted` (a checkpoint is kept then).
pub fn train(
    inputs: TuneInputs<'_>,
    adapter: Option<&mut AdapterSteps<'_>>,
    checkpoints: &Checkpoints<'_>,
    (stage, progress): (&'static str, &mut dyn Progress),
) -> Result<TrainingLog, StageError> {
    let TuneInputs { decoder, parameters, train, validation, settings, loss, state } = inputs;
    let mut trainer = Trainer::new(decoder, parameters, settings)?;
    if let Some(loss) = loss {
        trainer = trainer.minimising(loss);
    }
    // A step and a checkpoint both call the adapter, one after the other.
    let adapter = RefCell::new(adapter);
    resume(&mut trainer, adapter.borrow_mut().as_deref_mut(), checkpoints, progress)?;
    let mut take_step =
        |trainer: &mut Trainer<'_>, progress: &mut dyn Progress| match adapter.borrow_mut().as_deref_mut() {
            None => trainer.gradient_step(train),
            Some(adapter) => adapter.step(trainer, train, progress),
        };
    let mut keep = |trainer: &Trainer<'_>| save(trainer, adapter.borrow_mut().as_deref_mut(), checkpoints);
    trainer.run(validation, &mut take_step, &mut keep, (stage, progress))?;
    match state {
        FinalState::Best => trainer.take_best(),
        FinalState::Last => Ok(trainer.log().clone()),
    }
}

/// What a checkpoint keeps for the adapter's plugin, as the plugin gave it.
const PLUGIN_STATE: &str = "adapter.state";
const TENSORS: &str = "state.safetensors";

/// What a checkpoint says beside its tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    trainer: TrainerState,
    curves: Curves,
}

fn save(
    trainer: &Trainer<'_>,
    adapter: Option<&mut AdapterSteps<'_>>,
    checkpoints: &Checkpoints<'_>,
) -> Result<(), StageError> {
    let (state, tensors) = trainer.state();
    let curves = adapter.as_ref().map(|adapter| adapter.curves.clone()).unwrap_or_default();
    let plugin_state = adapter.map(|adapter| adapter.handle.save()).transpose()?.unwrap_or_default();
    checkpoints.save(trainer.log().steps, &Kept { trainer: state, curves }, |stage| {
        stage.write_bytes(PLUGIN_STATE, &plugin_state)?;
        write_tensors(stage, TENSORS, &tensors)
    })
}

fn resume(
    trainer: &mut Trainer<'_>,
    adapter: Option<&mut AdapterSteps<'_>>,
    checkpoints: &Checkpoints<'_>,
    progress: &mut dyn Progress,
) -> Result<(), StageError> {
    let latest = checkpoints.latest()?;
    latest.passed_over().iter().for_each(|told| progress.log(told));
    let Some((step, folder)) = latest.found else { return Ok(()) };
    let kept: Kept = Checkpoints::state(&folder)?;
    let file = TensorFile::open(&folder.file(TENSORS)?)?;
    trainer.restore(kept.trainer, &|name, shape| file.get(name, shape))?;
    if let Some(adapter) = adapter {
        let path = folder.file(PLUGIN_STATE)?;
        adapter.handle.restore(&std::fs::read(&path).map_err(|source| StoreError::read(&path, source))?)?;
        adapter.curves = kept.curves;
    }
    progress.log(&format!("continuing from the checkpoint at step {step}"));
    Ok(())
}
