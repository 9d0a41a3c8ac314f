//! Side: data owner. Takes: an emulator and (context, answer) pairs. Gives: the return with the adapter delta. Plugin kind: adapter.
//!
//! Full fine-tuning, the upper bound that only the model owner can run, and the owner's training of the emulator use the same trainer.

mod adamw;
mod attach;
mod parcel;
mod record;
mod schedule;
mod trainer;

pub use adamw::{AdamW, AdamWOptions, Moments};
pub use attach::{Parameter, attach, put_back, tensor_mut};
pub use parcel::{ADAPTER, RETURN, ReturnArtefact, write_return};
pub use record::{TUNING, TuningRecord};
pub use schedule::Schedule;
pub use trainer::{BatchLoss, TrainSettings, Trainer, TrainingLog, Validation, validation_loss};

use super::error::{StageError, told_to_plugin};
use super::progress::Progress;
use super::tensor_file::{TensorFile, write_tensors};
use crate::data::Batches;
use crate::model::Decoder;
use crate::plugins::{AdapterHandle, Questions};
use crate::store::{Checkpoints, ManifestHead, StoreError};
use crate::tensor::Tensor;
use plugin_api::{PluginError, StepReport, unknown_service};
use std::cell::RefCell;

/// The format of checkpoints, which never leave the run folder.
pub const CHECKPOINT: ManifestHead = ManifestHead { format: "scaleot-checkpoint", version: 1 };

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
    pub loss: Option<Box<BatchLoss<'a>>>,
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
    adapter: Option<&mut AdapterHandle>,
    (checkpoints, digest): (&Checkpoints<'_>, &str),
    (stage, progress): (&'static str, &mut dyn Progress),
) -> Result<TrainingLog, StageError> {
    let TuneInputs { decoder, parameters, train, validation, settings, loss, state } = inputs;
    let mut trainer = Trainer::new(decoder, parameters, settings)?;
    if let Some(loss) = loss {
        trainer = trainer.minimising(loss);
    }
    // A step and a checkpoint both call the adapter, one after the other.
    let adapter = RefCell::new(adapter);
    resume(&mut trainer, adapter.borrow_mut().as_deref_mut(), (checkpoints, digest), progress)?;
    let mut take_step = |trainer: &mut Trainer<'_>| match adapter.borrow_mut().as_deref_mut() {
        None => trainer.gradient_step(train),
        Some(adapter) => {
            let mut questions = TunerQuestions { trainer, train, failed: None };
            let stepped = adapter.step(&mut questions);
            // The trainer's own error says more than what the plugin was told.
            match questions.failed {
                Some(error) => Err(error),
                None => Ok(stepped?),
            }
        }
    };
    let mut keep = |trainer: &Trainer<'_>| -> Result<(), StageError> {
        let (mut error, body) = (None, checkpoint(digest, trainer));
        let plugin_state = adapter.borrow_mut().as_deref_mut().map(AdapterHandle::save).transpose()?;
        let saved = checkpoints.save(trainer.log().steps, &body, |stage| {
            stage.write_bytes(PLUGIN_STATE, &plugin_state.unwrap_or_default())?;
            match write_tensors(stage, "state.safetensors", &trainer.state()) {
                // Nothing may be committed when the disk is full or a value is not finite.
                Err(StageError::Store(error)) => return Err(error),
                other => error = other.err(),
            }
            Ok(())
        });
        match error {
            Some(error) => Err(error),
            None => Ok(saved.map(drop)?),
        }
    };
    trainer.run(validation, &mut take_step, &mut keep, (stage, progress))?;
    match state {
        FinalState::Best => trainer.take_best(),
        FinalState::Last => Ok(trainer.log().clone()),
    }
}

/// What a checkpoint keeps for the adapter's plugin, as the plugin gave it.
const PLUGIN_STATE: &str = "adapter.state";

/// What a checkpoint says beside its tensors.
fn checkpoint(digest: &str, trainer: &Trainer<'_>) -> serde_json::Value {
    serde_json::json!({ "inputs": digest, "log": trainer.log(), "running": trainer.running() })
}

fn resume(
    trainer: &mut Trainer<'_>,
    adapter: Option<&mut AdapterHandle>,
    (checkpoints, digest): (&Checkpoints<'_>, &str),
    progress: &mut dyn Progress,
) -> Result<(), StageError> {
    let mut damaged = Vec::new();
    let latest = checkpoints.latest(&mut damaged)?;
    damaged.iter().for_each(|fault| progress.log(&format!("a damaged checkpoint is left aside: {fault}")));
    let Some((step, folder)) = latest else { return Ok(()) };
    #[derive(serde::Deserialize)]
    struct Body {
        inputs: String,
        log: TrainingLog,
        running: (f64, u64),
    }
    let body: Body = folder.body()?;
    if body.inputs != digest {
        progress.log("the config or its inputs changed: the checkpoint of the earlier run is not used");
        return Ok(());
    }
    let file = TensorFile::open(&folder.file("state.safetensors")?)?;
    trainer.restore((body.log, body.running), &|name, shape| file.get(name, shape))?;
    if let Some(adapter) = adapter {
        let path = folder.file(PLUGIN_STATE)?;
        adapter.restore(&std::fs::read(&path).map_err(|source| StoreError::read(&path, source))?)?;
    }
    progress.log(&format!("continuing from the checkpoint at step {step}"));
    Ok(())
}

/// Answers an adapter's `gradient_step`.
struct TunerQuestions<'a, 'b> {
    trainer: &'a mut Trainer<'b>,
    train: &'a dyn Batches,
    failed: Option<StageError>,
}

impl Questions for TunerQuestions<'_, '_> {
    fn answer(&mut self, name: &str, _: &[u8]) -> Result<Vec<u8>, PluginError> {
        if name != "gradient_step" {
            return Err(unknown_service(name));
        }
        let report: StepReport = self.trainer.gradient_step(self.train).map_err(|error| {
            let told = told_to_plugin(&error);
            self.failed = Some(error);
            told
        })?;
        Ok(serde_json::to_vec(&report)?)
    }
}
