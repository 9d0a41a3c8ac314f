//! The artefact of the owner's training, and its curve for people.

use super::student::Student;
use crate::artefacts::{TRAINED_LAYERS, TRAINED_SUBSTITUTES, TrainArtefact, TrainingLog, named, write_tensors};
use crate::error::StageError;
use crate::stage::Stage;
use scaleot_plugin_api::{Objective, Substitute};
use scaleot_store::{StageDir, VerifiedFolder};
use scaleot_tensor::Tensor;
use serde::Serialize;

/// `train.json`: the part of the record that is for people.
#[derive(Serialize)]
struct TrainRecord<'a> {
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
        write_tensors(&mut stage, TRAINED_SUBSTITUTES, &substitutes)?;
    }
    let layers: Vec<(String, Tensor)> =
        student.layer_tensors.iter().map(|parameter| (parameter.name.clone(), parameter.tensor.clone())).collect();
    if !layers.is_empty() {
        write_tensors(&mut stage, TRAINED_LAYERS, &layers)?;
    }
    let &TrainArtefact { ref objective, trainable, validation_loss_before, step, ref log, .. } = artefact;
    stage.write_json("train.json", &TrainRecord { objective, trainable, validation_loss_before, step, log })?;
    Ok(stage.commit(Stage::Train.head(), artefact)?)
}
