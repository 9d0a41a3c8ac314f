//! Low-rank deltas or soft prompts of a decoder → a folder in the layout of the package `peft`: `adapter_config.json` and
//! `adapter_model.safetensors`, which `PeftModel.from_pretrained` puts on the original model.
//!
//! `W + (alpha / r) B A`: `base_model.model.<module>.lora_A.weight` is `A` `[r, in]`, `lora_B.weight` is `B` `[out, r]`
//! (Hu et al. 2021, arXiv 2106.09685). Modules are named whole, so that no other layer is touched.
//! A module that fuses several projections has one pair for all of them, exactly: `A` under one another, and `B` in blocks,
//! each at the rows of its projection, zero elsewhere; the rank is the sum of theirs.

use super::config::ModelConfig;
use super::decoder::Decoder;
use super::disassemble::fuse;
use super::error::{ModelError, Result};
use super::family::LayerModule;
use super::layer::DecoderLayer;
use super::names::Names;
use super::peft_tensor::source;
use super::projection::LowRankDelta;
use super::write::write_json;
use super::write_peft_prompt::write_prompts;
use scaleot_plugin_api::WeightRole;
use scaleot_store::{self, FileRecord, write_safetensors_file};
use scaleot_tensor::Tensor;
use serde_json::{Map, Value, json};
use std::path::Path;

/// A module that has a delta.
struct Adapted {
    /// As Transformers names the module.
    name: String,
    delta: LowRankDelta,
    transposed: bool,
}

/// Writes the two files; `base_model` is what the config names as the model that the adapter belongs to.
///
/// # Errors
/// A decoder without low-rank deltas or soft prompts, one that `peft` cannot hold, or a full disk.
pub fn write_peft_folder(decoder: &Decoder, folder: &Path, base_model: &str) -> Result<Vec<FileRecord>> {
    if decoder.kept_layers()?.iter().any(|(_, layer)| layer.prompt.is_some()) {
        return write_prompts(decoder, folder, base_model);
    }
    let adapted = adapted_modules(decoder)?;
    let config = write_json(&folder.join("adapter_config.json"), &config_json(&adapted, base_model)?)?;
    let mut sources = Vec::with_capacity(2 * adapted.len());
    for Adapted { name, delta, .. } in &adapted {
        for (part, tensor) in [("lora_A", &delta.a), ("lora_B", &delta.b)] {
            sources.push(source(format!("base_model.model.{name}.{part}.weight"), tensor)?);
        }
    }
    Ok(vec![config, write_safetensors_file(&folder.join("adapter_model.safetensors"), &sources)?])
}

fn adapted_modules(decoder: &Decoder) -> Result<Vec<Adapted>> {
    let names = Names::for_writing(decoder.config.family);
    let mut adapted = Vec::new();
    for (number, (slot, layer)) in decoder.kept_layers()?.into_iter().enumerate() {
        for module in &decoder.config.family.layer {
            let deltas = deltas(layer, module, slot)?;
            if let Some(delta) = fused(&decoder.config, module, &deltas)? {
                let name = names.module(number, &module.module);
                adapted.push(Adapted { name, delta, transposed: module.transposed });
            }
        }
    }
    match adapted.is_empty() {
        true => Err(unfit_error(0, "no low-rank delta, in this layer or another".to_owned())),
        false => Ok(adapted),
    }
}

/// The delta of each role of a module, where it has one.
fn deltas<'a>(layer: &'a DecoderLayer, module: &LayerModule, slot: usize) -> Result<Vec<Option<&'a LowRankDelta>>> {
    let of = |role: &WeightRole| match layer.projection(*role) {
        Some(projection) if projection.bottleneck.is_some() => {
            Err(unfit_error(slot, format!("a bottleneck after {role}")))
        }
        projection => Ok(projection.and_then(|projection| projection.delta.as_ref())),
    };
    module.roles.iter().map(of).collect()
}

/// The deltas of a module's roles as one delta of the module; `None` where no role has one.
fn fused(config: &ModelConfig, module: &LayerModule, deltas: &[Option<&LowRankDelta>]) -> Result<Option<LowRankDelta>> {
    let there: Vec<&LowRankDelta> = deltas.iter().flatten().copied().collect();
    let (Some(first), [_, _, ..]) = (there.first(), deltas) else {
        return Ok(there.first().map(|&delta| delta.clone()));
    };
    let a = Tensor::cat(&there.iter().map(|delta| delta.a.clone()).collect::<Vec<_>>(), 0)?;
    let whole = a.size(0)?;
    let scale = there.iter().map(|delta| delta.scale).find(|scale| *scale != 0.0).unwrap_or(1.0);
    let (mut before, mut blocks) = (0, Vec::with_capacity(deltas.len()));
    for (delta, role) in deltas.iter().zip(&module.roles) {
        let rows = config.shape(*role).first().copied().unwrap_or_default();
        let (kind, device) = (first.b.dtype(), first.b.device());
        let zeros = |cols: i64| Tensor::zeros(&[rows, cols], kind, device);
        let Some(delta) = delta else {
            blocks.push(zeros(whole)?);
            continue;
        };
        let rank = delta.a.size(0)?;
        // One scale for the module: what differs goes into `B`.
        let b = if delta.scale == scale { delta.b.clone() } else { delta.b.mul_scalar(delta.scale / scale)? };
        blocks.push(Tensor::cat(&[zeros(before)?, b, zeros(whole - before - rank)?], 1)?);
        before += rank;
    }
    Ok(Some(LowRankDelta { a, b: fuse(config, module, blocks)?, scale }))
}

fn unfit_error(layer: usize, found: String) -> ModelError {
    let expected =
        "low-rank deltas, such as peft/lora trains; the layout of `peft` has no place for anything else here";
    ModelError::Slot { layer, found, expected }
}

fn config_json(adapted: &[Adapted], base_model: &str) -> Result<Value> {
    let (mut ranks, mut alphas) = (Map::new(), Map::new());
    for Adapted { name, delta, .. } in adapted {
        let rank = delta.a.size(0)?;
        ranks.insert(name.clone(), Value::from(rank));
        alphas.insert(name.clone(), Value::from(delta.scale * rank as f64));
    }
    let names: Vec<&str> = adapted.iter().map(|each| each.name.as_str()).collect();
    let (rank, alpha) = (ranks.values().next().cloned(), alphas.values().next().cloned());
    Ok(json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "inference_mode": true,
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": ranks,
        "alpha_pattern": alphas,
        "target_modules": names,
        "fan_in_fan_out": adapted.iter().any(|each| each.transposed),
        "lora_dropout": 0.0,
        "bias": "none",
    }))
}
