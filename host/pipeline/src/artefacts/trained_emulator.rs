//! The result of the owner's training: trained tensors, the objective, and the curve (`train.json`).

use super::{TensorFile, TrainingLog, put_back, with_tensors};
use crate::error::StageError;
use scaleot_model::Decoder;
use scaleot_plugin_api::{Objective, Substitute};
use scaleot_store::VerifiedFolder;
use scaleot_tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Tensors of the trained substitutes.
pub const TRAINED_SUBSTITUTES: &str = "substitutes.safetensors";
/// Tensors of the trained kept layers.
pub const TRAINED_LAYERS: &str = "layers.safetensors";
/// Tensors of every layer of the fully tuned model.
pub const FULLY_TUNED_LAYERS: &str = "layers.safetensors";

/// The body of the train stage's manifest; the tensors lie beside it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainArtefact {
    /// Digest of everything that the result depends on.
    pub inputs: String,
    /// Identities of the importance scores and of the layer plan that the emulator was made from.
    pub upstream: [String; 2],
    /// The minimised objective.
    pub objective: Objective,
    /// Values that trained.
    pub trainable: u64,
    /// The emulator's loss on held-out public text before the first step, in nats per target.
    pub validation_loss_before: f64,
    /// The step whose state this is: that of the lowest validation loss, or the last one with a `loss_margin`.
    pub step: u64,
    /// Steps and validation losses.
    pub log: TrainingLog,
    /// Trained substitutes by layer, by tensor name.
    pub substitutes: Vec<(usize, Substitute<String>)>,
    /// Layers of the full model whose copies trained.
    pub kept_layers: Vec<usize>,
}

/// Puts the trained substitutes of a finished stage in the place of those of importance.
///
/// # Errors
/// A damaged artefact.
pub fn install_substitutes(folder: &VerifiedFolder, substitutes: &mut [Substitute<Tensor>]) -> Result<(), StageError> {
    let artefact: TrainArtefact = folder.body()?;
    let file = if folder.has(TRAINED_SUBSTITUTES) {
        Some(TensorFile::open(&folder.file(TRAINED_SUBSTITUTES)?)?)
    } else {
        None
    };
    for (layer, trained) in artefact.substitutes {
        if let Some(substitute) = substitutes.get_mut(layer) {
            *substitute = with_tensors(trained, file.as_ref())?;
        }
    }
    Ok(())
}

/// Puts the trained kept layers of a finished stage into a copy of the full model, for the emulator.
///
/// # Errors
/// A damaged artefact.
pub fn install_layers(folder: &VerifiedFolder, decoder: &mut Decoder) -> Result<(), StageError> {
    let artefact: TrainArtefact = folder.body()?;
    if artefact.kept_layers.is_empty() {
        return Ok(());
    }
    let file = TensorFile::open(&folder.file(TRAINED_LAYERS)?)?;
    put_back(&file, decoder, &artefact.kept_layers)
}
