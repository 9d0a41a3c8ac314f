//! Side: model owner. Takes: the model, public text. Gives: importance scores and (trained) substitutes.
//! Plugin kinds: importance, replace. Substitutes are installed first, so an estimator sees masks and losses only.

mod mixture;
mod questions;

pub use mixture::Mixture;
pub use questions::{OwnerQuestions, seed_for};

use super::error::StageError;
use super::progress::Progress;
use super::replace::{named, with_tensors};
use super::tensor_file::{TensorFile, write_tensors};
use crate::data::TextWindows;
use crate::model::Decoder;
use crate::plugins::{EstimatorHandle, ReplacerHandle};
use crate::store::{ManifestHead, StageDir, VerifiedFolder};
use crate::tensor::Tensor;
use plugin_api::{ImportanceScores, ModelOutline, Substitute};
use serde::{Deserialize, Serialize};

/// The artefact's format.
pub const HEAD: ManifestHead = ManifestHead { format: "scaleot-importance", version: 1 };
const SUBSTITUTES: &str = "substitutes.safetensors";

/// What the stage leaves behind, beside the tensors of the substitutes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportanceArtefact {
    /// Digest of everything that the result depends on.
    pub inputs: String,
    /// One score per layer of the full model; larger means keep.
    pub scores: ImportanceScores,
    /// What stands in for each layer, by tensor name.
    pub substitutes: Vec<Substitute<String>>,
}

/// What the stage works on.
pub struct ImportanceInputs<'a> {
    /// The full model.
    pub decoder: &'a Decoder,
    /// Its outline.
    pub outline: &'a ModelOutline,
    /// Public text to train and to judge on, if the config names any.
    pub text: Option<(TextWindows, TextWindows)>,
    /// The run's seed.
    pub seed: u64,
}

/// Asks the replacer for substitutes, then the estimator for scores.
///
/// # Errors
/// What a plugin returned, or could not be computed.
pub fn estimate(
    estimator: &mut EstimatorHandle,
    replacer: &mut ReplacerHandle,
    inputs: ImportanceInputs<'_>,
    progress: &mut dyn Progress,
) -> Result<(ImportanceScores, Vec<Substitute<Tensor>>), StageError> {
    let ImportanceInputs { decoder, outline, text, seed } = inputs;
    let mut substitutes = Vec::with_capacity(outline.n_layers());
    for layer in &outline.layers {
        let mut questions = OwnerQuestions { outline, seed, progress: &mut *progress, mixture: None };
        substitutes.push(replacer.substitute(layer, &mut questions)?);
    }
    let Some(text) = text else {
        let mut questions = OwnerQuestions { outline, seed, progress, mixture: None };
        return Ok((estimator.estimate(outline.n_layers(), &mut questions)?, substitutes));
    };
    let mut mixture = Mixture::new(decoder.clone(), substitutes, text)?.towards(replacer.objective()?);
    let mut questions = OwnerQuestions { outline, seed, progress, mixture: Some(&mut mixture) };
    let scores = estimator.estimate(outline.n_layers(), &mut questions)?;
    Ok((scores, mixture.into_substitutes()))
}

/// Writes the artefact.
///
/// # Errors
/// A full disk, or a value that is not finite.
pub fn write(
    mut stage: StageDir,
    inputs: &str,
    scores: &ImportanceScores,
    substitutes: &[Substitute<Tensor>],
) -> Result<VerifiedFolder, StageError> {
    let (mut described, mut tensors) = (Vec::new(), Vec::new());
    for (layer, substitute) in substitutes.iter().enumerate() {
        let (names, mut own) = named(substitute, &format!("layers.{layer}"));
        described.push(names);
        tensors.append(&mut own);
    }
    if !tensors.is_empty() {
        write_tensors(&mut stage, SUBSTITUTES, &tensors)?;
    }
    let body = ImportanceArtefact { inputs: inputs.into(), scores: scores.clone(), substitutes: described };
    stage.write_json("importance.json", &body.scores)?;
    Ok(stage.commit(HEAD, &body)?)
}

/// Scores and substitutes of a finished stage.
///
/// # Errors
/// A damaged artefact.
pub fn read(folder: &VerifiedFolder) -> Result<(ImportanceArtefact, Vec<Substitute<Tensor>>), StageError> {
    let artefact: ImportanceArtefact = folder.body()?;
    let file = if folder.has(SUBSTITUTES) { Some(TensorFile::open(&folder.file(SUBSTITUTES)?)?) } else { None };
    let substitutes = artefact.substitutes.iter().map(|substitute| with_tensors(substitute.clone(), file.as_ref()));
    let substitutes = substitutes.collect::<Result<Vec<_>, _>>()?;
    Ok((artefact, substitutes))
}
