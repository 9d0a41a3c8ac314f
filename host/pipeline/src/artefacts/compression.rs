//! Compressed weights of the kept layers.

use super::TensorFile;
use crate::error::StageError;
use scaleot_model::{Decoder, WeightForm as RunForm};
use scaleot_plugin_api::{CompressionReport, WeightForm, WeightRole};
use scaleot_store::VerifiedFolder;
use serde::{Deserialize, Serialize};

/// The compression of one kept layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerCompression {
    /// Index in the full model.
    pub layer: usize,
    /// Per matrix: rank and residual energy.
    pub report: CompressionReport,
    /// The weights that changed, by tensor name in `layer-N.safetensors`.
    pub changed: Vec<(WeightRole, WeightForm<String>)>,
}

/// The body of the compress stage's manifest; the tensors lie beside it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompressionArtefact {
    /// Digest of everything that the result depends on.
    pub inputs: String,
    /// One entry per kept layer.
    pub layers: Vec<LayerCompression>,
}

/// Puts the compressed weights of a finished stage into a decoder of the full model (mapped, not copied).
///
/// # Errors
/// A damaged artefact.
pub fn install_compressed(folder: &VerifiedFolder, decoder: &mut Decoder) -> Result<CompressionArtefact, StageError> {
    let artefact: CompressionArtefact = folder.body()?;
    for entry in artefact.layers.iter().filter(|entry| !entry.changed.is_empty()) {
        let file = TensorFile::open(&folder.file(&layer_file(entry.layer))?)?;
        let layer = decoder.layer_mut(entry.layer)?;
        for (role, form) in &entry.changed {
            let find =
                |name: &str| file.find(name)?.ok_or_else(|| file.refuse(name, "nothing".into(), "a compressed weight"));
            let form = match form {
                WeightForm::Dense { weight } => RunForm::Dense(find(weight)?),
                WeightForm::Factored { left, right } => RunForm::Factored { left: find(left)?, right: find(right)? },
            };
            if let Some(projection) = layer.projection_mut(*role) {
                projection.weight = form;
            }
        }
    }
    Ok(artefact)
}

/// The file of one layer's tensors.
pub fn layer_file(layer: usize) -> String {
    format!("layer-{layer:03}.safetensors")
}
