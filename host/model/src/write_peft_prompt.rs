//! Soft prompts of a decoder → a folder in the layout of the package `peft` (`ADAPTION_PROMPT`).
//!
//! `base_model.model.<attention>.adaption_prompt` `[1, length, hidden]`, `adaption_gate` `[1]`. `peft` adapts the last
//! `adapter_layers` layers without a gap, so layers that have no prompt get one whose gate is zero: it changes nothing.

use super::decoder::Decoder;
use super::error::{ModelError, Result};
use super::layer::DecoderLayer;
use super::names::Names;
use super::peft_tensor::source;
use super::prompt::SoftPrompt;
use super::write::write_json;
use scaleot_plugin_api::WeightRole;
use scaleot_store::{FileRecord, write_safetensors_file};
use scaleot_tensor::{Device, Dtype, Tensor};
use serde_json::json;
use std::path::Path;

/// The name that `peft` gives to the keys' module inside an attention that it can adapt.
const KEYS: &str = ".k_proj";

/// Writes the two files.
pub(super) fn write_prompts(decoder: &Decoder, folder: &Path, base_model: &str) -> Result<Vec<FileRecord>> {
    let layers = decoder.kept_layers()?;
    let first = layers.iter().position(|(_, layer)| layer.prompt.is_some()).unwrap_or(0);
    let length = length(&layers)?;
    let none = SoftPrompt {
        prompt: Tensor::zeros(&[length, decoder.config.hidden as i64], Dtype::F32, Device::Cpu)?,
        gate: Tensor::zeros(&[1], Dtype::F32, Device::Cpu)?,
    };
    let mut sources = Vec::new();
    for (number, (slot, layer)) in layers.iter().enumerate().skip(first) {
        let attention = attention(decoder, *slot, layer, number)?;
        let SoftPrompt { prompt, gate } = layer.prompt.as_ref().unwrap_or(&none);
        let name = |part: &str| format!("base_model.model.{attention}.{part}");
        sources.push(source(name("adaption_prompt"), &prompt.unsqueeze(0)?)?);
        sources.push(source(name("adaption_gate"), gate)?);
    }
    let config = json!({
        "peft_type": "ADAPTION_PROMPT",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "inference_mode": true,
        "target_modules": "self_attn",
        "adapter_len": length,
        "adapter_layers": layers.len() - first,
    });
    let config = write_json(&folder.join("adapter_config.json"), &config)?;
    Ok(vec![config, write_safetensors_file(&folder.join("adapter_model.safetensors"), &sources)?])
}

/// `peft` has one length for all layers.
fn length(layers: &[(usize, &DecoderLayer)]) -> Result<i64> {
    let mut found: Option<i64> = None;
    for (slot, layer) in layers {
        let Some(prompt) = &layer.prompt else { continue };
        let here = prompt.prompt.size(0)?;
        if found.is_some_and(|length| length != here) {
            return Err(unfit_error(
                *slot,
                format!("a soft prompt of length {here}"),
                "prompts of one length in all layers",
            ));
        }
        found = Some(here);
    }
    Ok(found.unwrap_or(0))
}

/// The name of the attention that `peft` wraps; it knows that of llama, and applies the output's bias twice.
fn attention(decoder: &Decoder, slot: usize, layer: &DecoderLayer, number: usize) -> Result<String> {
    let family = decoder.config.family;
    let keys = family.layer.iter().find(|module| module.roles == [WeightRole::AttentionK]);
    let name = keys.map(|module| Names::for_writing(family).module(number, &module.module));
    let attention = name.as_deref().and_then(|name| name.strip_suffix(KEYS)).map(str::to_owned);
    match attention.filter(|_| family.name == "llama" && layer.o.bias.is_none()) {
        Some(attention) => Ok(attention),
        None => Err(unfit_error(
            slot,
            format!("a soft prompt in the family {}", family.name),
            "llama without biases, the one family whose soft prompts `peft` opens; the return itself holds them for every family",
        )),
    }
}

fn unfit_error(layer: usize, found: String, expected: &'static str) -> ModelError {
    ModelError::Slot { layer, found, expected }
}
