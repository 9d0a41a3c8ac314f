//! A decoder → a Hugging Face folder: `config.json` and safetensors, read by Transformers and by us.
//!
//! One tensor at a time is put together and streamed; weights that are still mapped go from file to file.

use super::decoder::Decoder;
use super::disassemble::NamedPart;
use super::error::{ModelError, Result};
use scaleot_store::{self, AtomicFile, FileRecord, TensorSource, write_safetensors_file};
use scaleot_tensor::{Device, Dtype};
use serde_json::{Map, Value, json};
use std::io;
use std::path::Path;

/// The keys of a written folder's config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigKeys {
    /// All that the config says that the decoder was read with: for a model that stays with its owner.
    Owners,
    /// Keys made from the decoder, one by one: for a folder that leaves.
    Described,
}

/// Writes the folder's files, each visible whole or not at all. With `shard_bytes`, weights are split
/// into files of at most that much data, with an index.
///
/// # Errors
/// A decoder that no such folder can hold, or a full disk.
pub fn write_hf_folder(
    decoder: &Decoder,
    folder: &Path,
    keys: ConfigKeys,
    shard_bytes: Option<u64>,
) -> Result<Vec<FileRecord>> {
    let parts = decoder.named_parts()?;
    let shards = shards(&parts, shard_bytes.unwrap_or(u64::MAX));
    let config = config_json(decoder, keys)?;
    let mut written = vec![write_json(&folder.join("config.json"), &Value::Object(config))?];
    let count = shards.len();
    let name = |number: usize| match count {
        1 => "model.safetensors".to_owned(),
        _ => format!("model-{:05}-of-{count:05}.safetensors", number + 1),
    };
    for (number, shard) in shards.iter().enumerate() {
        let sources = shard.iter().map(|part| source(part)).collect::<Result<Vec<_>>>()?;
        written.push(write_safetensors_file(&folder.join(name(number)), &sources)?);
    }
    if count > 1 {
        let index = index_json(&shards, name);
        written.push(write_json(&folder.join("model.safetensors.index.json"), &index)?);
    }
    Ok(written)
}

fn bytes_of(part: &NamedPart<'_>) -> u64 {
    part.shape.iter().product::<i64>() as u64 * part.dtype.bytes() as u64
}

/// Parts in their order, a new shard where the limit would be passed; never an empty one.
fn shards<'p, 'a>(parts: &'p [NamedPart<'a>], limit: u64) -> Vec<Vec<&'p NamedPart<'a>>> {
    let mut shards: Vec<Vec<&NamedPart<'a>>> = vec![Vec::new()];
    let mut filled = 0;
    for part in parts {
        let bytes = bytes_of(part);
        let full = filled > 0 && bytes.saturating_add(filled) > limit;
        if full {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += bytes;
        if let Some(shard) = shards.last_mut() {
            shard.push(part);
        }
    }
    shards
}

fn index_json(shards: &[Vec<&NamedPart<'_>>], name: impl Fn(usize) -> String) -> Value {
    let mut map = Map::new();
    for (number, shard) in shards.iter().enumerate() {
        map.extend(shard.iter().map(|part| (part.name.clone(), Value::from(name(number)))));
    }
    let total: u64 = shards.iter().flatten().map(|part| bytes_of(part)).sum();
    json!({ "metadata": { "total_size": total }, "weight_map": map })
}

/// The owner's config with the dtype that is now true; a decoder of another depth has no other config than its own.
fn config_json(decoder: &Decoder, keys: ConfigKeys) -> Result<Map<String, Value>> {
    let (config, layers) = (&decoder.config, decoder.kept_layers()?.len());
    if keys == ConfigKeys::Described || layers != config.layers {
        return Ok(config.described(layers, decoder.dtype()));
    }
    let mut raw = config.raw.clone();
    let dtype_key = if raw.contains_key("torch_dtype") { "torch_dtype" } else { "dtype" };
    raw.insert(dtype_key.to_owned(), Value::from(decoder.dtype().config_name()));
    Ok(raw)
}

pub(super) fn write_json(path: &Path, value: &Value) -> Result<FileRecord> {
    let mut file = AtomicFile::create(path)?;
    file.put(format!("{value:#}\n").as_bytes())?;
    Ok(file.commit()?)
}

/// The tensor as the store writes it: its data is made when its turn comes.
fn source<'p>(part: &'p NamedPart<'_>) -> Result<TensorSource<'p>> {
    if !matches!(part.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
        return Err(unwritable(part));
    }
    let shape = part.shape.iter().map(|&size| size as u64).collect();
    let data = move || -> Result<_> {
        Ok(part.tensor()?.detach()?.to_device(Device::Cpu)?.to_dtype(part.dtype)?.contiguous()?)
    };
    let write = move |out: &mut dyn io::Write| {
        let tensor = data().map_err(io::Error::other)?;
        out.write_all(tensor.as_bytes().map_err(io::Error::other)?)
    };
    Ok(TensorSource { name: part.name.clone(), dtype: part.dtype, shape, write: Box::new(write) })
}

fn unwritable(part: &NamedPart<'_>) -> ModelError {
    ModelError::Batch {
        what: format!("dtype of `{}`", part.name),
        found: format!("{:?}", part.dtype),
        expected: "F32, F16 or BF16".to_owned(),
    }
}
