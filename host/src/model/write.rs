//! A decoder → a Hugging Face folder: `config.json` and safetensors, read by Transformers and by us.
//!
//! One tensor at a time is made contiguous and handed to the writer; weights that are still mapped go
//! from file to file. A safetensors file is `u64` header length, JSON header, data.

use super::decoder::Decoder;
use super::error::{ModelError, Result};
use super::parts::NamedPart;
use crate::tensor::Device;
use serde_json::{Map, Value, json};
use std::io::Write;

/// Writes the body of one file into a sink.
pub type WriteBody<'a> = dyn FnMut(&mut dyn Write) -> Result<()> + 'a;

/// Writes the folder file by file. `file` makes the file of that name, lets the body fill it, and
/// commits it. With `shard_bytes`, weights are split into files of at most that much data.
pub fn write_hf_folder<E: From<ModelError>>(
    decoder: &Decoder,
    shard_bytes: Option<u64>,
    mut file: impl FnMut(&str, &mut WriteBody<'_>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let parts = decoder.named_parts()?;
    let shards = shards(&parts, shard_bytes.unwrap_or(u64::MAX));
    let config = Value::Object(config_json(decoder)?);
    file("config.json", &mut |sink| write_json(sink, &config))?;
    if let [only] = shards.as_slice() {
        return file("model.safetensors", &mut |sink| write_safetensors(sink, only));
    }
    let count = shards.len();
    let name = |number: usize| format!("model-{:05}-of-{count:05}.safetensors", number + 1);
    for (number, shard) in shards.iter().enumerate() {
        file(&name(number), &mut |sink| write_safetensors(sink, shard))?;
    }
    let index = index_json(&shards, name);
    file("model.safetensors.index.json", &mut |sink| write_json(sink, &index))
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

/// The config as it was read, with the layers and the dtype that are now true.
fn config_json(decoder: &Decoder) -> Result<Map<String, Value>> {
    let config = &decoder.config;
    let kept: Vec<usize> = decoder.kept_layers()?.into_iter().map(|(slot, _)| slot).collect();
    let mut raw = config.raw.clone();
    raw.insert(config.key("layers"), Value::from(kept.len()));
    let dtype_key = if raw.contains_key("torch_dtype") { "torch_dtype" } else { "dtype" };
    raw.insert(dtype_key.to_owned(), Value::from(decoder.dtype().config_name()));
    // The one list that Transformers keeps with an entry for each layer.
    if let Some(Value::Array(types)) = raw.get_mut("layer_types") {
        *types = kept.iter().filter_map(|&slot| types.get(slot).cloned()).collect();
    }
    Ok(raw)
}

fn write_json(sink: &mut dyn Write, value: &Value) -> Result<()> {
    let failed = |source| ModelError::Write { source };
    serde_json::to_writer_pretty(&mut *sink, value).map_err(|e| failed(e.into()))?;
    sink.write_all(b"\n").map_err(failed)
}

fn write_safetensors(sink: &mut dyn Write, parts: &[&NamedPart<'_>]) -> Result<()> {
    let failed = |source| ModelError::Write { source };
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let mut start = 0u64;
    for part in parts {
        let end = start + bytes_of(part);
        let entry = json!({
            "dtype": part.dtype.safetensors_name(), "shape": part.shape, "data_offsets": [start, end],
        });
        header.insert(part.name.clone(), entry);
        start = end;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // Data begins at a multiple of 8, so that every dtype is aligned in a mapped file.
    header.resize(header.len().next_multiple_of(8), b' ');
    sink.write_all(&(header.len() as u64).to_le_bytes()).map_err(failed)?;
    sink.write_all(&header).map_err(failed)?;
    for part in parts {
        let tensor = part.tensor()?.detach()?.to_device(Device::Cpu)?.to_dtype(part.dtype)?.contiguous()?;
        sink.write_all(tensor.as_bytes()?).map_err(failed)?;
    }
    Ok(())
}
