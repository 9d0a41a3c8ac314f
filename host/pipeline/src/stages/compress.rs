//! Side: model owner. Takes: the model and the layer plan. Gives: the compressed weights of every kept layer. Plugin kind: compress.
//!
//! One layer is in memory at a time: its weights are views of the mapped file, its result is written before the next begins.

use crate::artefacts::{CompressionArtefact, LayerCompression, layer_file, read_plan, write_tensors};
use crate::error::StageError;
use crate::mixture::{LazyMixture, ReadText};
use crate::progress::{Progress, stop_requested};
use crate::run::{OwnerModel, OwnerRun, Party as _, identity};
use crate::seed::seed_for;
use crate::services::{OwnerServices, OwnerSources, layer_weights};
use crate::stage::Stage;
use scaleot_model::Decoder;
use scaleot_plugin_api::{LayerPlan, LayerRole, ModelOutline, StrategyKind, WeightForm, WeightRole};
use scaleot_plugins::{CompressedLayer, CompressorHandle};
use scaleot_store::{StageDir, VerifiedFolder};
use scaleot_tensor::{Dtype, Tensor};
use serde_json::json;

impl OwnerRun<'_> {
    /// Compresses the kept layers; nothing without a `[compress]` section.
    ///
    /// # Errors
    /// The compressor's error.
    pub fn compress(&mut self, progress: &mut dyn Progress) -> Result<Option<VerifiedFolder>, StageError> {
        if !Stage::Compress.is_part_of(&self.core.config) {
            return Ok(None);
        }
        let owner = self.model()?;
        let planned = self.core.require(Stage::Replace)?;
        let plan = read_plan(&planned)?.plan;
        let trained = self.trained_layers()?;
        let parts = json!([
            owner.fingerprint.to_string(),
            plan.layers_with(LayerRole::Keep),
            self.core.strategy_inputs(StrategyKind::Compress)?,
            trained.as_ref().map(identity),
            self.core.config.seed,
            self.core.public_text_inputs()?,
        ]);
        let inputs = self.core.inputs(Stage::Compress, parts);
        if let Some(done) = self.core.up_to_date(Stage::Compress, &inputs, progress)? {
            return Ok(Some(done));
        }
        let done = self.measure(Stage::Compress, |run| {
            let mut compressor = CompressorHandle::try_from(run.core.required_strategy(StrategyKind::Compress)?)?;
            let decoder = run.emulator_source(&owner, trained.as_ref())?;
            let text = || run.text_to_measure_on(&owner);
            let work = run.compress_inputs(&decoder, &owner, &plan, &text);
            compress(&mut compressor, &work, run.core.dir.stage(Stage::Compress.folder().name)?, &inputs, progress)
        })?;
        Ok(Some(done))
    }

    /// Compresses the kept layers again and writes nothing: the work that `bench compress` times.
    ///
    /// # Errors
    /// As [`compress`](Self::compress); a config without a `[compress]` section.
    pub fn each_compressed_layer(
        &mut self,
        progress: &mut dyn Progress,
        keep: &mut dyn FnMut(usize, CompressedLayer) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        let owner = self.model()?;
        let planned = self.core.require(Stage::Replace)?;
        let plan = read_plan(&planned)?.plan;
        let mut compressor = CompressorHandle::try_from(self.core.required_strategy(StrategyKind::Compress)?)?;
        let text = || self.text_to_measure_on(&owner);
        let work = self.compress_inputs(&owner.model.decoder, &owner, &plan, &text);
        each_layer(&mut compressor, &work, progress, keep)
    }

    fn compress_inputs<'a>(
        &self,
        decoder: &'a Decoder,
        owner: &'a OwnerModel,
        plan: &'a LayerPlan,
        text: &'a ReadText<'a>,
    ) -> CompressInputs<'a> {
        let seed = seed_for(self.core.config.seed, Stage::Compress.label());
        CompressInputs { decoder, outline: &owner.outline, plan, text, seed }
    }
}

/// The inputs of a compression.
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
/// The plugin's error, a full disk, or a request to stop.
pub fn compress(
    compressor: &mut CompressorHandle,
    inputs: &CompressInputs<'_>,
    mut stage: StageDir,
    digest: &str,
    progress: &mut dyn Progress,
) -> Result<VerifiedFolder, StageError> {
    let mut layers = Vec::new();
    each_layer(compressor, inputs, progress, &mut |layer, compressed| {
        let (changed, tensors) = named(compressed.changed);
        if !tensors.is_empty() {
            write_tensors(&mut stage, &layer_file(layer), &tensors)?;
        }
        layers.push(LayerCompression { layer, report: compressed.report, changed });
        Ok(())
    })?;
    let artefact = CompressionArtefact { inputs: digest.into(), layers };
    stage.write_json("compression.json", &artefact.layers)?;
    Ok(stage.commit(Stage::Compress.head(), &artefact)?)
}

/// Gives each kept layer, compressed, to `keep`, before the next one begins.
///
/// # Errors
/// The error of the plugin or of `keep`, or a request to stop.
fn each_layer(
    compressor: &mut CompressorHandle,
    inputs: &CompressInputs<'_>,
    progress: &mut dyn Progress,
    keep: &mut dyn FnMut(usize, CompressedLayer) -> Result<(), StageError>,
) -> Result<(), StageError> {
    let kept = inputs.plan.layers_with(LayerRole::Keep);
    let mut mixture = LazyMixture::new(inputs.decoder, inputs.text, kept.clone());
    progress.begin(Stage::Compress.label(), kept.len() as u64);
    for (done, &layer) in kept.iter().enumerate() {
        if stop_requested() {
            return Err(StageError::Stopped { stage: Stage::Compress.label() });
        }
        let Some(shape) = inputs.outline.layers.get(layer) else { continue };
        let weights = layer_weights(inputs.decoder, layer)?;
        let (outline, seed) = (inputs.outline, inputs.seed);
        let sources = OwnerSources::Compression { decoder: inputs.decoder, mixture: &mut mixture };
        let mut services = OwnerServices::new(outline, seed, &mut *progress, sources);
        let compressed = compressor.compress(shape, &weights, &mut services);
        let compressed = services.told(compressed)?;
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
