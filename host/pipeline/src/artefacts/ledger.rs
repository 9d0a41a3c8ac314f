//! The model owner's ledger of a bundle: the layer behind every slot. It never leaves.

use crate::error::StageError;
use crate::stage::Stage;
use scaleot_plugin_api::LayerPlan;
use scaleot_store::{StageDir, VerifiedFolder};
use serde::{Deserialize, Serialize};

/// The owner's private record of one bundle.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Digest of everything that the bundle depends on.
    pub inputs: String,
    /// Identity of the bundle's manifest.
    pub bundle: String,
    /// Fingerprint of the model that it was cut from.
    pub model: String,
    /// The role of each layer of the full model.
    pub plan: LayerPlan,
    /// Slot of the emulator -> layer of the full model.
    pub layer_of_slot: Vec<usize>,
}

impl Ledger {
    /// Writes the record.
    ///
    /// # Errors
    /// A full disk.
    pub fn write(&self, stage: StageDir) -> Result<VerifiedFolder, StageError> {
        Ok(stage.commit(Stage::Bundle.record().head, self)?)
    }

    /// The record of a finished bundle.
    ///
    /// # Errors
    /// A damaged artefact.
    pub fn read(folder: &VerifiedFolder) -> Result<Self, StageError> {
        Ok(folder.body::<Self>()?)
    }
}
