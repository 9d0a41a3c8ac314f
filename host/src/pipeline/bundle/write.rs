//! Cuts the emulator out of the model and writes the bundle as a fresh stream: no storage of the full model is shared into it.

use super::description::{EmulatorDescription, EmulatorSlot, tensor_name};
use super::{DESCRIPTION, HEAD, TENSORS};
use crate::model::{Decoder, DecoderLayer, WeightForm};
use crate::pipeline::error::StageError;
use crate::pipeline::replace::named;
use crate::pipeline::tensor_file::write_tensors;
use crate::store::{StageDir, StoreError, VerifiedFolder};
use crate::tensor::Tensor;
use plugin_api::{AdapterModule, LayerPlan, LayerRole, Module, Substitute, WeightRole};
use std::path::Path;

/// What a bundle is cut from.
pub struct BundleInputs<'a> {
    /// The full model, with compressed weights installed.
    pub decoder: &'a Decoder,
    /// What becomes of each layer.
    pub plan: &'a LayerPlan,
    /// One substitute per layer.
    pub substitutes: &'a [Substitute<Tensor>],
    /// What trains, per adapter layer in order.
    pub adapters: &'a [AdapterModule],
    /// Where `tokenizer.json` lies.
    pub folder: &'a Path,
}

/// Writes the bundle; also gives the layer of the full model behind each slot.
///
/// # Errors
/// A plan that names a layer that is none, a value that is not finite, a full disk.
pub fn write(mut stage: StageDir, inputs: &BundleInputs<'_>) -> Result<(VerifiedFolder, Vec<usize>), StageError> {
    let layers = slot_layers(inputs);
    let mut tensors = shared_tensors(inputs.decoder);
    let mut slots = Vec::with_capacity(layers.len());
    let mut adapters = inputs.adapters.iter();
    for (slot, &layer) in layers.iter().enumerate() {
        let described = match inputs.plan.layers.get(layer) {
            Some(LayerRole::Replace) => module_slot(slot, layer, inputs, (&layers, &mut tensors))?,
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
    stage.write_json("config.json", &config(inputs.decoder, slots.len()))?;
    copy_tokenizer(&mut stage, inputs.folder)?;
    let description = EmulatorDescription { slots };
    stage.write_json(DESCRIPTION, &description)?;
    Ok((stage.commit(HEAD, &serde_json::json!({}))?, layers))
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
    (layers, tensors): (&[usize], &mut Vec<(String, Tensor)>),
) -> Result<EmulatorSlot, StageError> {
    let substitute = inputs.substitutes.get(layer).ok_or_else(|| missing_adapter(layer))?;
    let shared = |layer: usize| {
        let staying = inputs.plan.nearest_staying(layer).filter(|_| layer < inputs.plan.layers.len())?;
        layers.iter().position(|&other| other == staying)
    };
    let module = crate::pipeline::replace::in_slots(substitute.module.clone(), &shared)?;
    let frozen = Substitute { module, trainable: false };
    let (described, mut own) = named(&frozen, &format!("slots.{slot}.module"));
    tensors.append(&mut own);
    Ok(EmulatorSlot::Module { module: described.module })
}

fn missing_adapter(layer: usize) -> StageError {
    StageError::Artefact {
        path: "layer plan".into(),
        what: format!("layer {layer}"),
        found: "no adapter and no substitute".into(),
        expected: "one of them for every layer of the plan".into(),
    }
}

/// The model's `config.json` with the emulator's depth, and without what would tell where the model came from.
fn config(decoder: &Decoder, n_slots: usize) -> serde_json::Map<String, serde_json::Value> {
    let mut config = decoder.config.raw.clone();
    config.retain(|key, _| !key.starts_with('_'));
    config.insert(decoder.config.key("layers"), n_slots.into());
    config
}

fn copy_tokenizer(stage: &mut StageDir, folder: &Path) -> Result<(), StageError> {
    let path = folder.join("tokenizer.json");
    let bytes = std::fs::read(&path).map_err(|source| StoreError::read(&path, source))?;
    Ok(stage.write_bytes("tokenizer.json", &bytes)?)
}
