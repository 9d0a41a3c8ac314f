//! The data owner's record of a return: what it was made from. It never leaves, for a digest of private data is enough to
//! try out whether a text was in it.

use crate::error::StageError;
use crate::stage::Stage;
use scaleot_store::{StageDir, VerifiedFolder};
use serde::{Deserialize, Serialize};

/// The data owner's private record of one return.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuningRecord {
    /// Digest of everything that the return depends on.
    pub inputs: String,
    /// Identity of the return's manifest.
    pub returned: String,
}

impl TuningRecord {
    /// Writes the record.
    ///
    /// # Errors
    /// A full disk.
    pub fn write(&self, stage: StageDir) -> Result<VerifiedFolder, StageError> {
        Ok(stage.commit(Stage::Tune.record().head, self)?)
    }

    /// The record of a finished return.
    ///
    /// # Errors
    /// A damaged artefact.
    pub fn read(folder: &VerifiedFolder) -> Result<Self, StageError> {
        Ok(folder.body::<Self>()?)
    }
}
