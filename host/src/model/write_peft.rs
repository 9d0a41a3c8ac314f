//! Low-rank deltas or soft prompts of a decoder → a folder in the layout of the package `peft`: `adapter_config.json` and
//! `adapter_model.safetensors`, which `PeftModel.from_pretrained` puts on the original model.
//!
//! `W + (alpha / r) B A`: `base_model.model.<module>.lora_A.weight` is `A` `[r, in]`, `lora_B.weight` is `B` `[out, r]`
//! (Hu et al. 2021, arXiv 2106.09685). Modules are named whole, so that no other layer is touched.

use super::decoder::Decoder;
use super::error::{ModelError, Result};
use super::family::LayerModule;
use super::names::Names;
use super::projection::LowRankDelta;
use super::write::write_json;
use super::write_peft_prompt::write_prompts;
use crate::store::{self, FileRecord, TensorSource, write_safetensors_file};
use crate::tensor::{Device, Dtype, Tensor};
use serde_json::{Map, Value, json};
use std::io;
use std::path::Path;

/// A projection that has a delta.
struct Adapted<'a> {
    /// As Transformers names the module.
    name: String,
    delta: &'a LowRankDelta,
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
    let adapted = adapted(decoder)?;
    let config = write_json(&folder.join("adapter_config.json"), &config_json(&adapted, base_model)?)?;
    let mut sources = Vec::with_capacity(2 * adapted.len());
    for Adapted { name, delta, .. } in &adapted {
        for (part, tensor) in [("lora_A", &delta.a), ("lora_B", &delta.b)] {
            sources.push(source(format!("base_model.model.{name}.{part}.weight"), tensor)?);
        }
    }
    Ok(vec![config, write_safetensors_file(&folder.join("adapter_model.safetensors"), &sources)?])
}

fn adapted(decoder: &Decoder) -> Result<Vec<Adapted<'_>>> {
    let names = Names::written(decoder.config.family);
    let mut adapted = Vec::new();
    for (number, (slot, layer)) in decoder.kept_layers()?.into_iter().enumerate() {
        for module in &decoder.config.family.layer {
            for &role in &module.roles {
                let Some(projection) = layer.projection(role) else { continue };
                if projection.bottleneck.is_some() {
                    return Err(unfit(slot, format!("a bottleneck after {role}")));
                }
                let Some(delta) = &projection.delta else { continue };
                alone(module, slot)?;
                let name = names.module(number, &module.module);
                adapted.push(Adapted { name, delta, transposed: module.transposed });
            }
        }
    }
    match adapted.is_empty() {
        true => Err(unfit(0, "no low-rank delta in any layer".to_owned())),
        false => Ok(adapted),
    }
}

/// `peft` has one delta for one module; ours are per role.
fn alone(module: &LayerModule, slot: usize) -> Result<()> {
    match module.roles.len() {
        1 => Ok(()),
        roles => Err(unfit(slot, format!("a delta on one of the {roles} projections fused in `{}`", module.module))),
    }
}

fn unfit(layer: usize, found: String) -> ModelError {
    let expected =
        "low-rank deltas on whole modules, such as peft/lora makes; export --what plug-in merges those on parts too";
    ModelError::Slot { layer, found, expected }
}

fn config_json(adapted: &[Adapted<'_>], base_model: &str) -> Result<Value> {
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

pub(super) fn source<'a>(name: String, tensor: &Tensor) -> Result<TensorSource<'a>> {
    let tensor = tensor.detach()?.to_device(Device::Cpu)?.to_dtype(Dtype::F32)?.contiguous()?;
    let shape = tensor.shape().iter().map(|&size| size as u64).collect();
    let write = move |out: &mut dyn io::Write| out.write_all(tensor.as_bytes().map_err(io::Error::other)?);
    Ok(TensorSource { name, dtype: store::Dtype::F32, shape, write: Box::new(write) })
}
