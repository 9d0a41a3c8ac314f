//! What the model owner keeps of a bundle: which slot is which layer. It never leaves.

use super::super::error::StageError;
use scaleot_plugin_api::LayerPlan;
use scaleot_store::{ManifestHead, StageDir, VerifiedFolder};
use serde::{Deserialize, Serialize};

/// The artefact's format.
pub const LEDGER: ManifestHead = ManifestHead { format: "scaleot-ledger", version: 1 };

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
    /// What became of each layer of the full model.
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
        Ok(stage.commit(LEDGER, self)?)
    }

    /// The record of a finished bundle.
    ///
    /// # Errors
    /// A damaged artefact.
    pub fn read(folder: &VerifiedFolder) -> Result<Self, StageError> {
        Ok(folder.body::<Self>()?)
    }
}
