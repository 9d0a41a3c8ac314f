//! What the owner's training leaves behind: trained tensors, what trained towards what, and the curve (`train.json`).

use super::student::Student;
use crate::error::StageError;
use crate::replace::{named, with_tensors};
use crate::tensor_file::{TensorFile, write_tensors};
use crate::tune::{TrainingLog, put_back};
use scaleot_model::Decoder;
use scaleot_plugin_api::{Objective, Substitute};
use scaleot_store::{ManifestHead, StageDir, VerifiedFolder};
use scaleot_tensor::Tensor;
use serde::{Deserialize, Serialize};

/// The artefact's format.
pub const HEAD: ManifestHead = ManifestHead { format: "scaleot-train", version: 1 };
const SUBSTITUTES: &str = "substitutes.safetensors";
const LAYERS: &str = "layers.safetensors";

/// What the stage leaves behind, beside the tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainArtefact {
    /// Digest of everything that the result depends on.
    pub inputs: String,
    /// Identities of the importance scores and of the layer plan that the emulator was made from.
    pub upstream: [String; 2],
    /// What was minimised.
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

/// `train.json`: the part of the record that is for people.
#[derive(Serialize)]
struct Curve<'a> {
    objective: &'a Objective,
    trainable: u64,
    validation_loss_before: f64,
    step: u64,
    log: &'a TrainingLog,
}

/// A trained substitute: its layer, its description by tensor name, and the tensors under these names.
type TrainedSubstitute = (usize, Substitute<String>, Vec<(String, Tensor)>);

fn trained_substitutes(student: &Student) -> impl Iterator<Item = TrainedSubstitute> {
    student.substitutes.iter().map(|(layer, module)| {
        let substitute = Substitute::new(module.clone(), true);
        let (described, tensors) = named(&substitute, &format!("layers.{layer}"));
        (*layer, described, tensors)
    })
}

/// Trained substitutes by layer, by tensor name.
pub fn described_substitutes(student: &Student) -> Vec<(usize, Substitute<String>)> {
    trained_substitutes(student).map(|(layer, described, _)| (layer, described)).collect()
}

/// Writes the artefact.
///
/// # Errors
/// A value that is not finite, or a full disk.
pub fn write(mut stage: StageDir, artefact: &TrainArtefact, student: &Student) -> Result<VerifiedFolder, StageError> {
    let substitutes: Vec<(String, Tensor)> = trained_substitutes(student).flat_map(|(_, _, tensors)| tensors).collect();
    if !substitutes.is_empty() {
        write_tensors(&mut stage, SUBSTITUTES, &substitutes)?;
    }
    let layers: Vec<(String, Tensor)> =
        student.layer_tensors.iter().map(|parameter| (parameter.name.clone(), parameter.tensor.clone())).collect();
    if !layers.is_empty() {
        write_tensors(&mut stage, LAYERS, &layers)?;
    }
    let &TrainArtefact { ref objective, trainable, validation_loss_before, step, ref log, .. } = artefact;
    stage.write_json("train.json", &Curve { objective, trainable, validation_loss_before, step, log })?;
    Ok(stage.commit(HEAD, artefact)?)
}

/// Puts the trained substitutes of a finished stage in the place of those of importance.
///
/// # Errors
/// A damaged artefact.
pub fn install_substitutes(folder: &VerifiedFolder, substitutes: &mut [Substitute<Tensor>]) -> Result<(), StageError> {
    let artefact: TrainArtefact = folder.body()?;
    let file = if folder.has(SUBSTITUTES) { Some(TensorFile::open(&folder.file(SUBSTITUTES)?)?) } else { None };
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
    let file = TensorFile::open(&folder.file(LAYERS)?)?;
    put_back(&file, decoder, &artefact.kept_layers)
}
