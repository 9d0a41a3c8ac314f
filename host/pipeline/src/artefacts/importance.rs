//! Importance scores and substitutes, which stay with the model owner.

use super::{TensorFile, with_tensors};
use crate::error::StageError;
use scaleot_plugin_api::{ImportanceScores, Substitute};
use scaleot_store::VerifiedFolder;
use scaleot_tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Tensors of the substitutes.
pub const SUBSTITUTES: &str = "substitutes.safetensors";

/// The body of the importance stage's manifest; the tensors of the substitutes lie beside it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportanceArtefact {
    /// Digest of everything that the result depends on.
    pub inputs: String,
    /// One score per layer of the full model; larger means keep.
    pub scores: ImportanceScores,
    /// The substitute of each layer, by tensor name.
    pub substitutes: Vec<Substitute<String>>,
}

/// Scores and substitutes of a finished stage.
///
/// # Errors
/// A damaged artefact.
pub fn read_importance(folder: &VerifiedFolder) -> Result<(ImportanceArtefact, Vec<Substitute<Tensor>>), StageError> {
    let artefact: ImportanceArtefact = folder.body()?;
    let file = if folder.has(SUBSTITUTES) { Some(TensorFile::open(&folder.file(SUBSTITUTES)?)?) } else { None };
    let substitutes = artefact.substitutes.iter().map(|substitute| with_tensors(substitute.clone(), file.as_ref()));
    let substitutes = substitutes.collect::<Result<Vec<_>, _>>()?;
    Ok((artefact, substitutes))
}
