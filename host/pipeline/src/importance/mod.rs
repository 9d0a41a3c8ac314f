//! Side: model owner. Takes: the model, public text. Gives: importance scores and (trained) substitutes.
//! Plugin kinds: importance, replace. Substitutes are installed first, so an estimator sees masks and losses only.

mod curvature;
mod curves;
mod keeper;
mod later;
mod local_fit;
mod mixture;
mod moments;
mod plot;
mod questions;
mod similarity;
mod statistics;

pub use curves::{Curve, Curves};
use keeper::Phase;
pub use keeper::{CHECKPOINT, Keeper};
pub use later::{LaterMixture, ReadText};
pub use mixture::Mixture;
pub use moments::MomentSource;
pub use questions::{OwnerQuestions, layer_weights, seed_for};

use super::error::StageError;
use super::progress::Progress;
use super::replace::{named, with_tensors};
use super::tensor_file::{TensorFile, write_tensors};
use scaleot_data::TextWindows;
use scaleot_model::Decoder;
use scaleot_plugin_api::{ImportanceScores, ModelOutline, Substitute};
use scaleot_plugins::{EstimatorHandle, ReplacerHandle};
use scaleot_store::{ManifestHead, StageDir, VerifiedFolder};
use scaleot_tensor::Tensor;
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

/// `importance.json`: what a person or a plot reads of the stage. Stays with the model owner.
#[derive(Serialize)]
struct ImportanceRecord<'a> {
    scores: &'a [f32],
    curves: &'a Curves,
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

/// What an importance stage comes to.
pub struct Estimated {
    /// One score per layer.
    pub scores: ImportanceScores,
    /// One per layer, trained if they train.
    pub substitutes: Vec<Substitute<Tensor>>,
}

/// Asks the replacer for substitutes and lets it prepare them, then asks the estimator for scores. Continues from the last
/// checkpoint of the same inputs.
///
/// # Errors
/// What a plugin returned, or could not be computed.
pub fn estimate(
    (estimator, replacer): (&mut EstimatorHandle, &mut ReplacerHandle),
    inputs: ImportanceInputs<'_>,
    keeper: &mut Keeper<'_>,
    progress: &mut dyn Progress,
) -> Result<Estimated, StageError> {
    let ImportanceInputs { decoder, outline, text, seed } = inputs;
    let restored = keeper.latest(&mut |message| progress.log(message))?;
    let substitutes = match &restored {
        Some(restored) if !restored.substitutes.is_empty() => restored.substitutes.clone(),
        _ => substitutes(replacer, (decoder, outline, seed), text.as_ref().map(|(train, _)| train), progress)?,
    };
    let kept = substitutes.clone();
    if let Some(state) = restored.as_ref().map(|restored| &restored.replacer_state).filter(|state| !state.is_empty()) {
        replacer.restore(state)?;
    }
    let objective = replacer.objective()?;
    let make = |text| Mixture::new(decoder.clone(), substitutes, text);
    let mut mixture = text.map(make).transpose()?.map(|mixture| mixture.towards(objective));
    if let (Some(mixture), Some((state, file))) = (&mut mixture, restored.as_ref().and_then(|r| r.mixture.as_ref())) {
        mixture.restore(state, file.as_ref())?;
    }
    let mut questions = OwnerQuestions::new(outline, seed, progress);
    questions.mixture = mixture.as_mut();
    questions.decoder = Some(decoder);
    questions.keeper = Some(keeper);
    let state = |phase| restored.as_ref().filter(|r| r.phase == phase).map(|r| r.plugin_state.as_slice());
    if state(Phase::Estimate).is_none() {
        state(Phase::Prepare).map_or(Ok(()), |state| replacer.restore(state))?;
        let prepared = replacer.prepare(&mut questions);
        questions.told(prepared)?;
        questions.begin_estimate(replacer.save()?);
    }
    state(Phase::Estimate).map_or(Ok(()), |state| estimator.restore(state))?;
    let scores = estimator.estimate(outline.n_layers(), &mut questions);
    let scores = questions.told(scores)?;
    Ok(Estimated { scores, substitutes: mixture.map_or(kept, Mixture::into_substitutes) })
}

/// One substitute per layer, as the replacer first makes them.
fn substitutes(
    replacer: &mut ReplacerHandle,
    (decoder, outline, seed): (&Decoder, &ModelOutline, u64),
    train: Option<&TextWindows>,
    progress: &mut dyn Progress,
) -> Result<Vec<Substitute<Tensor>>, StageError> {
    let mut moments = train.map(|train| MomentSource::new(decoder, train));
    let mut substitutes = Vec::with_capacity(outline.n_layers());
    for layer in &outline.layers {
        let mut questions = OwnerQuestions::new(outline, seed, &mut *progress);
        (questions.moments, questions.decoder) = (moments.as_mut(), Some(decoder));
        let substitute = replacer.substitute(layer, outline.n_layers(), &mut questions);
        substitutes.push(questions.told(substitute)?);
    }
    Ok(substitutes)
}

/// Writes the artefact.
///
/// # Errors
/// A full disk, or a value that is not finite.
pub fn write(
    mut stage: StageDir,
    inputs: &str,
    estimated: &Estimated,
    curves: &Curves,
) -> Result<VerifiedFolder, StageError> {
    let (mut described, mut tensors) = (Vec::new(), Vec::new());
    for (layer, substitute) in estimated.substitutes.iter().enumerate() {
        let (names, mut own) = named(substitute, &format!("layers.{layer}"));
        described.push(names);
        tensors.append(&mut own);
    }
    if !tensors.is_empty() {
        write_tensors(&mut stage, SUBSTITUTES, &tensors)?;
    }
    let body = ImportanceArtefact { inputs: inputs.into(), scores: estimated.scores.clone(), substitutes: described };
    stage.write_json("importance.json", &ImportanceRecord { scores: &estimated.scores.scores, curves })?;
    stage.write_bytes("importance.svg", plot::svg(&estimated.scores.scores, curves)?.as_bytes())?;
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

#[cfg(test)]
mod tests;
