//! Side: model owner. Takes: the model, public text. Gives: importance scores and (trained) substitutes.
//! Plugin kinds: importance, replace. Substitutes are installed first, so an estimator sees masks and losses only.

mod plot;
mod run;

use crate::artefacts::{Curves, ImportanceArtefact, SUBSTITUTES, named, write_tensors};
use crate::error::StageError;
use crate::mixture::{Mixture, MomentSource, PublicText};
use crate::progress::Progress;
use crate::services::{EstimatorCheckpoints, OwnerServices, OwnerSources, Phase};
use crate::stage::Stage;
use scaleot_data::TextWindows;
use scaleot_model::Decoder;
use scaleot_plugin_api::{ImportanceScores, ModelOutline, Substitute};
use scaleot_plugins::{EstimatorHandle, ReplacerHandle};
use scaleot_store::{StageDir, VerifiedFolder};
use scaleot_tensor::Tensor;
use serde::Serialize;

/// `importance.json`: what a person or a plot reads of the stage. Stays with the model owner.
#[derive(Serialize)]
struct ImportanceRecord<'a> {
    scores: &'a [f32],
    curves: &'a Curves,
}

/// The inputs of an estimate.
pub struct ImportanceInputs<'a> {
    /// The full model.
    pub decoder: &'a Decoder,
    /// Its outline.
    pub outline: &'a ModelOutline,
    /// Public text to train and to judge on, if the config names any.
    pub text: Option<PublicText>,
    /// The run's seed.
    pub seed: u64,
}

/// The plugins of the stage.
pub struct Strategies<'a> {
    /// Scores layers.
    pub estimator: &'a mut EstimatorHandle,
    /// Makes substitutes.
    pub replacer: &'a mut ReplacerHandle,
}

/// The result of an importance stage.
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
/// A plugin's error, or the host's own.
pub fn estimate(
    strategies: Strategies<'_>,
    inputs: ImportanceInputs<'_>,
    checkpoints: &mut EstimatorCheckpoints<'_>,
    progress: &mut dyn Progress,
) -> Result<Estimated, StageError> {
    let Strategies { estimator, replacer } = strategies;
    let ImportanceInputs { decoder, outline, text, seed } = inputs;
    let full = FullModel { decoder, outline, seed };
    let restored = checkpoints.latest(&mut |message| progress.log(message))?;
    let substitutes = match &restored {
        Some(restored) if !restored.substitutes.is_empty() => restored.substitutes.clone(),
        _ => substitutes(replacer, full, text.as_ref().map(|text| &text.train), progress)?,
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
    let sources = OwnerSources::Importance { decoder, mixture: mixture.as_mut(), checkpoints };
    let mut services = OwnerServices::new(outline, seed, progress, sources);
    let state = |phase| restored.as_ref().filter(|r| r.phase == phase).map(|r| r.plugin_state.as_slice());
    if state(Phase::Estimate).is_none() {
        state(Phase::Prepare).map_or(Ok(()), |state| replacer.restore(state))?;
        let prepared = replacer.prepare(&mut services);
        services.told(prepared)?;
        services.begin_estimate(replacer.save()?);
    }
    state(Phase::Estimate).map_or(Ok(()), |state| estimator.restore(state))?;
    let scores = estimator.estimate(outline.n_layers(), &mut services);
    let scores = services.told(scores)?;
    Ok(Estimated { scores, substitutes: mixture.map_or(kept, Mixture::into_substitutes) })
}

/// The full model as plugins meet it.
#[derive(Clone, Copy)]
struct FullModel<'a> {
    decoder: &'a Decoder,
    outline: &'a ModelOutline,
    seed: u64,
}

/// One substitute per layer, as the replacer first makes them.
fn substitutes(
    replacer: &mut ReplacerHandle,
    full: FullModel<'_>,
    train: Option<&TextWindows>,
    progress: &mut dyn Progress,
) -> Result<Vec<Substitute<Tensor>>, StageError> {
    let FullModel { decoder, outline, seed } = full;
    let mut moments = train.map(|train| MomentSource::new(decoder, train));
    let mut substitutes = Vec::with_capacity(outline.n_layers());
    for layer in &outline.layers {
        let sources = OwnerSources::Substitutes { decoder, moments: moments.as_mut() };
        let mut services = OwnerServices::new(outline, seed, &mut *progress, sources);
        let substitute = replacer.substitute(layer, outline.n_layers(), &mut services);
        substitutes.push(services.told(substitute)?);
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
    Ok(stage.commit(Stage::Importance.head(), &body)?)
}
