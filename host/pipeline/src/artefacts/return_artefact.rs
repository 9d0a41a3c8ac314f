//! The return: what the data owner sends back. Adapter deltas and declared figures, and nothing else: what it was made from
//! stays in the data owner's record.
//!
//! `adapter.safetensors` holds trained minus shipped for weights of the model, and new tensors whole. Optimiser state and
//! gradients are never in it: it is built from the list of parameters into a fresh file.

use super::{Parameter, TrainingLog, write_tensors};
use crate::error::StageError;
use crate::stage::Stage;
use scaleot_plugin_api::AdapterModule;
use scaleot_store::{Digest, StageDir, VerifiedFolder};
use scaleot_tensor::no_grad;
use serde::{Deserialize, Serialize};

/// Tensors of the return.
pub const ADAPTER: &str = "adapter.safetensors";

/// The data owner's declaration beside the tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReturnArtefact {
    /// Version 1 had a digest of everything that the result depends on, the private data among it.
    #[serde(default, skip_serializing)]
    pub inputs: Option<String>,
    /// Identity of the bundle that it answers.
    pub bundle: Digest,
    /// Adapters that trained, by slot of the emulator.
    pub adapters: Vec<(usize, AdapterModule)>,
    /// Values that trained.
    pub trainable: u64,
    /// Steps and validation losses.
    pub log: TrainingLog,
}

/// Writes the return.
///
/// # Errors
/// A value that is not finite, or a full disk.
pub fn write_return(
    mut stage: StageDir,
    artefact: &ReturnArtefact,
    parameters: &[Parameter],
) -> Result<VerifiedFolder, StageError> {
    let _guard = no_grad();
    let mut tensors = Vec::with_capacity(parameters.len());
    for parameter in parameters {
        let tensor = match &parameter.shipped {
            Some(shipped) => parameter.tensor.sub(shipped)?,
            None => parameter.tensor.detach()?,
        };
        tensors.push((parameter.name.clone(), tensor));
    }
    write_tensors(&mut stage, ADAPTER, &tensors)?;
    Ok(stage.commit(Stage::Tune.head(), artefact)?)
}
