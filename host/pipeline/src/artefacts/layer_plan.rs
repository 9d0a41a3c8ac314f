//! The layer plan with original indices, which stays with the model owner.

use crate::error::StageError;
use scaleot_plugin_api::LayerPlan;
use scaleot_store::VerifiedFolder;
use serde::{Deserialize, Serialize};

/// The layer plan with original indices; it stays with the model owner.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanArtefact {
    /// Digest of everything that the result depends on.
    pub inputs: String,
    /// The role of each layer.
    pub plan: LayerPlan,
}

/// The plan of a finished stage.
///
/// # Errors
/// A damaged artefact.
pub fn read_plan(folder: &VerifiedFolder) -> Result<PlanArtefact, StageError> {
    Ok(folder.body::<PlanArtefact>()?)
}
