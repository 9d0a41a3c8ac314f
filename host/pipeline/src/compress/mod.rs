//! Side: model owner. Takes: the model and the layer plan. Gives: the compressed weights of every kept layer. Plugin kind: compress.
//!
//! One layer is in memory at a time: its weights are views of the mapped file, its result is written before the next begins.

use super::error::StageError;
use super::importance::{LaterMixture, OwnerQuestions, ReadText, layer_weights};
use super::progress::{Progress, stop_requested};
use super::tensor_file::{TensorFile, write_tensors};
use scaleot_model::{Decoder, WeightForm as RunForm};
use scaleot_plugin_api::{CompressionReport, LayerPlan, LayerRole, ModelOutline, WeightForm, WeightRole};
use scaleot_plugins::{CompressedLayer, CompressorHandle};
use scaleot_store::{ManifestHead, StageDir, VerifiedFolder};
use scaleot_tensor::{Dtype, Tensor};
use serde::{Deserialize, Serialize};

/// The artefact's format.
pub const HEAD: ManifestHead = ManifestHead { format: "scaleot-compression", version: 1 };

/// What became of one kept layer.
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

/// What the stage leaves behind, beside the tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompressionArtefact {
    /// Digest of everything that the result depends on.
    pub inputs: String,
    /// One entry per kept layer.
    pub layers: Vec<LayerCompression>,
}

/// What the stage works on.
pub struct CompressInputs<'a> {
    /// The full model.
    pub decoder: &'a Decoder,
    /// Its outline.
    pub outline: &'a ModelOutline,
    /// Kept layers are compressed, adapters never.
    pub plan: &'a LayerPlan,
    /// Public text, for compressors that measure.
    pub text: &'a ReadText<'a>,
    /// The run's seed.
    pub seed: u64,
}

/// Compresses every kept layer into `stage` and commits it under the digest of its inputs.
///
/// # Errors
/// What the plugin returned, a full disk, or a request to stop.
pub fn compress(
    compressor: &mut CompressorHandle,
    inputs: &CompressInputs<'_>,
    (mut stage, digest): (StageDir, &str),
    progress: &mut dyn Progress,
) -> Result<VerifiedFolder, StageError> {
    let mut layers = Vec::new();
    each_layer(compressor, inputs, progress, &mut |layer, compressed| {
        let (changed, tensors) = named(compressed.changed);
        if !tensors.is_empty() {
            write_tensors(&mut stage, &file_of(layer), &tensors)?;
        }
        layers.push(LayerCompression { layer, report: compressed.report, changed });
        Ok(())
    })?;
    let artefact = CompressionArtefact { inputs: digest.into(), layers };
    stage.write_json("compression.json", &artefact.layers)?;
    Ok(stage.commit(HEAD, &artefact)?)
}

/// Gives each kept layer, compressed, to `keep`, before the next one begins.
///
/// # Errors
/// What the plugin or `keep` returned, or a request to stop.
pub fn each_layer(
    compressor: &mut CompressorHandle,
    inputs: &CompressInputs<'_>,
    progress: &mut dyn Progress,
    keep: &mut dyn FnMut(usize, CompressedLayer) -> Result<(), StageError>,
) -> Result<(), StageError> {
    let kept = inputs.plan.layers_with(LayerRole::Keep);
    let mut later = LaterMixture::new(inputs.decoder, inputs.text, kept.clone());
    progress.begin("compress", kept.len() as u64);
    for (done, &layer) in kept.iter().enumerate() {
        if stop_requested() {
            return Err(StageError::Stopped { stage: "compress" });
        }
        let Some(shape) = inputs.outline.layers.get(layer) else { continue };
        let weights = layer_weights(inputs.decoder, layer)?;
        let (outline, seed) = (inputs.outline, inputs.seed);
        let mut questions = OwnerQuestions::new(outline, seed, &mut *progress);
        (questions.later, questions.decoder) = (Some(&mut later), Some(inputs.decoder));
        let compressed = compressor.compress(shape, &weights, &mut questions);
        let compressed = questions.told(compressed)?;
        keep(layer, in_dtype(compressed, inputs.decoder.dtype())?)?;
        progress.at(done as u64 + 1, &format!("layer {layer}"));
    }
    progress.end(&format!("{} layers compressed", kept.len()));
    Ok(())
}

/// Plugins compute in fp32; what is kept is as wide as the model.
fn in_dtype(mut compressed: CompressedLayer, dtype: Dtype) -> Result<CompressedLayer, StageError> {
    for (_, form) in &mut compressed.changed {
        *form = match form {
            WeightForm::Dense { weight } => WeightForm::Dense { weight: weight.to_dtype(dtype)? },
            WeightForm::Factored { left, right } => {
                WeightForm::Factored { left: left.to_dtype(dtype)?, right: right.to_dtype(dtype)? }
            }
        };
    }
    Ok(compressed)
}

fn file_of(layer: usize) -> String {
    format!("layer-{layer:03}.safetensors")
}

type Named = (Vec<(WeightRole, WeightForm<String>)>, Vec<(String, Tensor)>);

fn named(changed: Vec<(WeightRole, WeightForm<Tensor>)>) -> Named {
    let mut tensors = Vec::new();
    let mut keep = |name: String, tensor: Tensor| {
        tensors.push((name.clone(), tensor));
        name
    };
    let mut forms = Vec::new();
    for (role, form) in changed {
        let form = match form {
            WeightForm::Dense { weight } => WeightForm::Dense { weight: keep(format!("{role}.weight"), weight) },
            WeightForm::Factored { left, right } => WeightForm::Factored {
                left: keep(format!("{role}.left"), left),
                right: keep(format!("{role}.right"), right),
            },
        };
        forms.push((role, form));
    }
    (forms, tensors)
}

/// Puts the compressed weights of a finished stage into a decoder of the full model (mapped, not copied).
///
/// # Errors
/// A damaged artefact.
pub fn install(folder: &VerifiedFolder, decoder: &mut Decoder) -> Result<CompressionArtefact, StageError> {
    let artefact: CompressionArtefact = folder.body()?;
    for entry in artefact.layers.iter().filter(|entry| !entry.changed.is_empty()) {
        let file = TensorFile::open(&folder.file(&file_of(entry.layer))?)?;
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
