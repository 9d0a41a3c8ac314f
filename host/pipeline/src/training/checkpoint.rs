//! Checkpoints of a training, from which it goes on bit by bit.

use super::adapter_steps::AdapterSteps;
use super::trainer::{Trainer, TrainerState};
use crate::artefacts::{Curves, Resumed, write_tensors};
use crate::error::StageError;
use crate::progress::Progress;
use scaleot_store::{Checkpoints, ManifestHead};
use serde::{Deserialize, Serialize};

/// The format of checkpoints, which never leave the run folder.
pub const CHECKPOINT: ManifestHead = ManifestHead { format: "scaleot-checkpoint", version: 2 };

/// The file of the adapter plugin's state, as the plugin gave it.
const PLUGIN_STATE: &str = "adapter.state";
const TENSORS: &str = "state.safetensors";

/// The state of a checkpoint beside its tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    trainer: TrainerState,
    curves: Curves,
}

/// Keeps the state after the last step.
pub(super) fn save(
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

/// Takes up the newest whole checkpoint of the same inputs, if there is one.
pub(super) fn resume(
    trainer: &mut Trainer<'_>,
    adapter: Option<&mut AdapterSteps<'_>>,
    checkpoints: &Checkpoints<'_>,
    progress: &mut dyn Progress,
) -> Result<(), StageError> {
    let resumed = Resumed::<Kept>::latest(checkpoints, &mut |sentence| progress.log(sentence))?;
    let Some(resumed) = resumed else { return Ok(()) };
    let file = resumed.tensors(TENSORS)?;
    if let Some(adapter) = adapter {
        adapter.handle.restore(&resumed.bytes(PLUGIN_STATE)?)?;
        adapter.curves = resumed.state.curves;
    }
    trainer.restore(resumed.state.trainer, &|name, shape| file.get(name, shape))
}
