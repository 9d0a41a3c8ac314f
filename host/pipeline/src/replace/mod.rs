//! Side: model owner. Takes: importance scores and substitutes. Gives: the layer plan. Plugin kind: replace.
//!
//! Adapter layers are placed first (`outer`: half at each end; `spread`: evenly; `top_score`: the most important), then the
//! replacer chooses `K` of the others.

mod module_tensors;
mod placement;

pub use module_tensors::{in_slots, named, with_tensors};
pub use placement::adapter_layers;

use super::error::StageError;
use scaleot_plugin_api::{ImportanceScores, LayerPlan, ReplaceRequest};
use scaleot_plugins::ReplacerHandle;
use scaleot_store::{ManifestHead, StageDir, VerifiedFolder};
use serde::{Deserialize, Serialize};

/// The artefact's format.
pub const HEAD: ManifestHead = ManifestHead { format: "scaleot-plan", version: 1 };

/// The layer plan with original indices; it stays with the model owner.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanArtefact {
    /// Digest of everything that the result depends on.
    pub inputs: String,
    /// What becomes of each layer.
    pub plan: LayerPlan,
}

/// Lets the replacer choose.
///
/// # Errors
/// What the plugin returned.
pub fn choose(
    replacer: &mut ReplacerHandle,
    scores: &ImportanceScores,
    ask: &ReplaceRequest,
) -> Result<LayerPlan, StageError> {
    Ok(replacer.select(scores, ask)?)
}

/// Writes the artefact.
///
/// # Errors
/// A full disk.
pub fn write(mut stage: StageDir, inputs: &str, plan: &LayerPlan) -> Result<VerifiedFolder, StageError> {
    stage.write_json("plan.json", plan)?;
    Ok(stage.commit(HEAD, &PlanArtefact { inputs: inputs.into(), plan: plan.clone() })?)
}

/// The plan of a finished stage.
///
/// # Errors
/// A damaged artefact.
pub fn read(folder: &VerifiedFolder) -> Result<PlanArtefact, StageError> {
    Ok(folder.body::<PlanArtefact>()?)
}
