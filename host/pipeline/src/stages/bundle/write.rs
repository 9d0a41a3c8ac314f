//! Cuts the emulator out of the model and writes the bundle as a fresh stream: no storage of the full model is shared into it.

use super::tokenizer_files;
use crate::artefacts::{
    CONFIG, DESCRIPTION, Emulator, EmulatorDescription, EmulatorSlot, TENSORS, in_slots, named, tensor_name,
    write_tensors,
};
use crate::error::StageError;
use crate::load::Placement;
use crate::stage::Stage;
use scaleot_config::BundleSection;
use scaleot_model::{Decoder, DecoderLayer, WeightForm};
use scaleot_plugin_api::{AdapterModule, LayerPlan, LayerRole, Module, Substitute, WeightRole};
use scaleot_store::{StageDir, VerifiedFolder, digest_file};
use scaleot_tensor::{Device, Dtype, Tensor};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// The inputs of a bundle.
pub struct BundleInputs<'a> {
    /// The full model, with compressed weights installed.
    pub decoder: &'a Decoder,
    /// The role of each layer.
    pub plan: &'a LayerPlan,
    /// One substitute per layer.
    pub substitutes: &'a [Substitute<Tensor>],
    /// The parts that train, per adapter layer in order.
    pub adapters: &'a [AdapterModule],
    /// The owner's model folder, where the tokenizer's files lie.
    pub folder: &'a Path,
    /// Files that go along.
    pub section: &'a BundleSection,
}

/// Files of a bundle that are written here, so that no file of the owner's takes their place.
const WRITTEN: [&str; 6] =
    [CONFIG, DESCRIPTION, "tokenizer.json", "tokenizer_config.json", "generation_config.json", "manifest.json"];

/// Facts about a bundle for the owner, and nobody else.
pub struct Sent {
    /// The layer of the full model behind each slot.
    pub layer_of_slot: Vec<usize>,
    /// True where a chat template went along.
    pub has_chat_template: bool,
}

/// Writes the bundle. It is opened as a receiver opens it before it is visible, so that nothing is written that a receiver
/// refuses.
///
/// # Errors
/// A plan that names a layer that is none, a value that is not finite, a tokenizer that does not fit, a full disk.
pub fn write(mut stage: StageDir, inputs: &BundleInputs<'_>) -> Result<(VerifiedFolder, Sent), StageError> {
    let layers = slot_layers(inputs);
    let mut tensors = shared_tensors(inputs.decoder);
    let mut slots = Vec::with_capacity(layers.len());
    let mut adapters = inputs.adapters.iter();
    for (slot, &layer) in layers.iter().enumerate() {
        let described = match inputs.plan.layers.get(layer) {
            Some(LayerRole::Replace) => module_slot(slot, layer, inputs, &layers, &mut tensors)?,
            Some(LayerRole::Adapter) => {
                layer_tensors(slot, &as_sent(inputs.decoder, layer)?, &mut tensors);
                let none = || missing_adapter(layer);
                EmulatorSlot::Adapter { trains: adapters.next().cloned().ok_or_else(none)? }
            }
            _ => {
                let factored = layer_tensors(slot, &as_sent(inputs.decoder, layer)?, &mut tensors);
                EmulatorSlot::Frozen { factored }
            }
        };
        slots.push(described);
    }
    write_tensors(&mut stage, TENSORS, &tensors)?;
    let config = &inputs.decoder.config;
    stage.write_json(CONFIG, &config.described(slots.len(), inputs.decoder.dtype()))?;
    let has_chat_template = tokenizer_files::write(&mut stage, inputs.folder, config, inputs.section.chat_template)?;
    include(&mut stage, inputs)?;
    stage.write_json(DESCRIPTION, &EmulatorDescription { slots })?;
    let receives = |staged: &VerifiedFolder| match Emulator::of_verified(
        staged,
        Placement { device: Device::Cpu, dtype: Dtype::F32 },
    ) {
        Ok(_) => Ok(()),
        Err(error) => Err(refused(inputs.folder, &error)),
    };
    let done = stage.commit_checked(Stage::Bundle.head(), &json!({}), receives)?;
    Ok((done, Sent { layer_of_slot: layers, has_chat_template }))
}

/// Inputs of the bundle's small files, beside config and tokenizer, which the model's fingerprint holds.
///
/// # Errors
/// A file that cannot be read.
pub fn small_file_inputs(folder: &Path, section: &BundleSection) -> Result<Value, StageError> {
    let names = tokenizer_files::READ.iter().copied().chain(section.include.iter().map(String::as_str));
    let there = names.filter(|name| folder.join(name).is_file());
    let digests = there.map(|name| Ok((name, digest_file(&folder.join(name))?.0)));
    let digests = digests.collect::<Result<BTreeMap<_, _>, StageError>>()?;
    Ok(json!({ "written": WRITTEN, "files": digests, "chat_template": section.chat_template }))
}

/// A data owner's refusal in the owner's words: the folder that it names is never visible, and no help to the owner.
fn refused(model: &Path, error: &StageError) -> StageError {
    StageError::InvalidArtefact {
        path: model.display().to_string(),
        what: "emulator".into(),
        found: format!("a bundle that its receiver refuses ({error})"),
        expected: "one that it opens; nothing was written".into(),
    }
}

/// Files of the owner's that the config names, as they are.
fn include(stage: &mut StageDir, inputs: &BundleInputs<'_>) -> Result<(), StageError> {
    for name in &inputs.section.include {
        let path = inputs.folder.join(name);
        let unfit = |found: String| StageError::InvalidArtefact {
            path: path.display().to_string(),
            what: "bundle.include".into(),
            found,
            expected: "a text file of the model folder, such as LICENSE".into(),
        };
        if WRITTEN.contains(&name.as_str()) || name.ends_with(".safetensors") {
            return Err(unfit("a file that the bundle has or leaves out by design".into()));
        }
        let bytes = std::fs::read(&path).map_err(|error| unfit(error.to_string()))?;
        stage.write_bytes(name, &bytes)?;
    }
    Ok(())
}

/// Layers of the full model that have a slot: all but those that the identity stands in for.
fn slot_layers(inputs: &BundleInputs<'_>) -> Vec<usize> {
    let dropped = |layer: usize| {
        let replaced = inputs.plan.layers.get(layer) == Some(&LayerRole::Replace);
        replaced && inputs.substitutes.get(layer).is_some_and(|s| matches!(s.module, Module::Identity))
    };
    (0..inputs.plan.layers.len()).filter(|&layer| !dropped(layer)).collect()
}

/// Embedding, positions, final norm and head: they are in every emulator.
fn shared_tensors(decoder: &Decoder) -> Vec<(String, Tensor)> {
    let mut tensors = vec![("embedding".to_owned(), decoder.embedding.clone())];
    let mut push = |name: &str, tensor: &Option<Tensor>| {
        tensors.extend(tensor.iter().map(|tensor| (name.to_owned(), tensor.clone())));
    };
    push("position_embedding", &decoder.position_embedding);
    push("final_norm.weight", &Some(decoder.final_norm.weight.clone()));
    push("final_norm.bias", &decoder.final_norm.bias);
    push("head", &decoder.head);
    tensors
}

/// A layer in the model's type: one that was trained is fp32 until here.
fn as_sent(decoder: &Decoder, layer: usize) -> Result<DecoderLayer, StageError> {
    let mut sent = decoder.layer(layer)?.clone();
    sent.cast(decoder.dtype())?;
    Ok(sent)
}

/// Adds a layer's tensors under their names in the slot; gives the roles that are in two factors.
fn layer_tensors(slot: usize, layer: &DecoderLayer, tensors: &mut Vec<(String, Tensor)>) -> Vec<WeightRole> {
    let mut factored = Vec::new();
    for role in WeightRole::ALL {
        let mut push = |part: &str, tensor: &Tensor| tensors.push((tensor_name(slot, role, part), tensor.clone()));
        if let Some(norm) = layer.norm(role) {
            push("weight", &norm.weight);
            norm.bias.iter().for_each(|bias| push("bias", bias));
        }
        let Some(projection) = layer.projection(role) else { continue };
        match &projection.weight {
            WeightForm::Dense(weight) => push("weight", weight),
            WeightForm::Factored { left, right } => {
                push("left", left);
                push("right", right);
                factored.push(role);
            }
        }
        projection.bias.iter().for_each(|bias| push("bias", bias));
    }
    factored
}

fn module_slot(
    slot: usize,
    layer: usize,
    inputs: &BundleInputs<'_>,
    layers: &[usize],
    tensors: &mut Vec<(String, Tensor)>,
) -> Result<EmulatorSlot, StageError> {
    let substitute = inputs.substitutes.get(layer).ok_or_else(|| missing_adapter(layer))?;
    let shared = |layer: usize| {
        let staying = inputs.plan.nearest_staying(layer).filter(|_| layer < inputs.plan.layers.len())?;
        layers.iter().position(|&other| other == staying)
    };
    let module = in_slots(substitute.module.clone(), &shared)?;
    let frozen = Substitute::new(module, false);
    let (described, mut own) = named(&frozen, &format!("slots.{slot}.module"));
    tensors.append(&mut own);
    Ok(EmulatorSlot::Module { module: described.module })
}

fn missing_adapter(layer: usize) -> StageError {
    StageError::InvalidValue {
        subject: "layer plan".into(),
        what: format!("layer {layer}"),
        found: "no adapter and no substitute".into(),
        expected: "one of them for every layer of the plan".into(),
    }
}
