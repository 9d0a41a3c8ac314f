//! A model folder before anything in it is believed: is it a folder, is each file a file, is a small file small.

use super::error::{ModelError, Result};
use scaleot_store::foreign_json;
use serde_json::{Map, Value};
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// Refuses what is not a readable folder.
pub(super) fn check_folder(folder: &Path) -> Result<()> {
    let not = |found: &str| ModelError::NotAFolder { path: folder.to_owned(), found: found.to_owned() };
    match fs::metadata(folder) {
        Ok(data) if data.is_dir() => {}
        Ok(_) => return Err(not("a file")),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(not("nothing")),
        Err(e) => return Err(not(&e.to_string())),
    }
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            if entries.next().is_none() {
                return Err(not("an empty folder"));
            }
            Ok(())
        }
        Err(e) => Err(not(&e.to_string())),
    }
}

/// Refuses everything but a regular file. A link is followed wherever it leads: the Hub's cache is made of links to blobs that
/// lie outside the folder, and a model folder is its owner's own. (Bundles and returns come from strangers: there
/// `store::verified` refuses links.)
pub(super) fn check_file(path: &Path) -> Result<()> {
    let read = |source| ModelError::Read { path: path.to_owned(), source };
    let kind = |found: &'static str| ModelError::FileKind { path: path.to_owned(), found };
    match fs::metadata(path) {
        Ok(data) if data.is_file() => Ok(()),
        Ok(data) if data.is_dir() => Err(kind("a folder")),
        Ok(_) => Err(kind("a pipe, socket or device")),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => match fs::read_link(path) {
            Ok(target) => Err(ModelError::DanglingLink { path: path.to_owned(), target }),
            Err(_) => Err(read(source)),
        },
        Err(source) => Err(read(source)),
    }
}

/// The whole of a file that must not be large.
pub(super) fn read_small(path: &Path, limit: u64) -> Result<Vec<u8>> {
    check_file(path)?;
    let read = |source| ModelError::Read { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(read)?;
    let found = file.metadata().map_err(read)?.len();
    if found > limit {
        return Err(ModelError::TooLarge { path: path.to_owned(), found, limit });
    }
    let mut text = Vec::new();
    file.take(limit + 1).read_to_end(&mut text).map_err(read)?;
    Ok(text)
}

/// JSON whose outermost value is an object.
pub(super) fn json_object(path: &Path, text: &[u8]) -> Result<Map<String, Value>> {
    let parsed = foreign_json::parse(text);
    let value = parsed.map_err(|problem| ModelError::Json { path: path.to_owned(), problem })?;
    let found = match value {
        // A number that JSON cannot hold stands as an object of its own.
        value if foreign_json::special_number(&value).is_some() => "a number, true, false or null",
        Value::Object(object) => return Ok(object),
        Value::Array(_) => "an array",
        Value::String(_) => "a string",
        _ => "a number, true, false or null",
    };
    Err(ModelError::JsonKind { path: path.to_owned(), found })
}

/// Says what a folder without `config.json` is, where that can be told. An adapter beside a model would make another model of it:
/// Transformers loads both (`AutoModel.from_pretrained`, where peft is installed).
pub(super) fn check_has_config(folder: &Path) -> Result<()> {
    let adapter = folder.join("adapter_config.json");
    let has_adapter = fs::symlink_metadata(&adapter).is_ok();
    if fs::symlink_metadata(folder.join("config.json")).is_ok() {
        return if has_adapter { Err(ModelError::AdapterBeside { path: adapter }) } else { Ok(()) };
    }
    let snapshots = folder.join("snapshots");
    if snapshots.is_dir() {
        let newest = names(&snapshots)?.pop().map_or_else(|| snapshots.clone(), |name| snapshots.join(name));
        return Err(ModelError::HubCache { path: folder.to_owned(), snapshot: newest });
    }
    if has_adapter {
        return Err(ModelError::OnlyAdapter { path: folder.to_owned() });
    }
    Ok(())
}

/// The files that hold the weights, as far as names tell.
pub(super) enum WeightFiles {
    Single(PathBuf),
    Sharded(PathBuf),
}

/// Finds the weights as Transformers does: `model.safetensors`, else the index; other files with weights are passed over. Says
/// what is there when neither is.
pub(super) fn find_weights(folder: &Path, named: Option<&str>) -> Result<WeightFiles> {
    if let Some(name) = named {
        let path = folder.join(name);
        return Ok(if name.ends_with(".json") { WeightFiles::Sharded(path) } else { WeightFiles::Single(path) });
    }
    let exists = |name: &str| fs::symlink_metadata(folder.join(name)).is_ok();
    for (name, make) in [
        ("model.safetensors", WeightFiles::Single as fn(PathBuf) -> WeightFiles),
        ("model.safetensors.index.json", WeightFiles::Sharded),
    ] {
        if exists(name) {
            return Ok(make(folder.join(name)));
        }
    }
    Err(other_weights(folder)?)
}

/// Names the files that stand in the place of weights that can be read.
fn other_weights(folder: &Path) -> Result<ModelError> {
    let names = names(folder)?;
    let ends = |name: &str, ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    let pickled = |name: &&String| {
        ends(name, &[".bin", ".pt", ".pth", ".ckpt", ".pkl"])
            && !["training_args.bin", "adapter_model.bin"].contains(&name.as_str())
    };
    if let Some(name) = names.iter().find(pickled) {
        return Ok(ModelError::OnlyPickle { path: folder.join(name) });
    }
    if names.iter().any(|name| name == "adapter_config.json" || name.starts_with("adapter_model.")) {
        return Ok(ModelError::OnlyAdapter { path: folder.to_owned() });
    }
    match names.iter().find(|name| ends(name, &[".safetensors", ".gguf", ".onnx", ".h5", ".msgpack"])) {
        Some(name) => Ok(ModelError::OtherWeights { path: folder.join(name) }),
        None => Ok(ModelError::NoWeights { path: folder.to_owned() }),
    }
}

/// True where a name from a file stays in its folder.
pub(super) fn is_plain_name(name: &str) -> bool {
    let one = matches!(Path::new(name).components().collect::<Vec<_>>().as_slice(), [Component::Normal(_)]);
    one && !name.contains(['/', '\\', '\0'])
}

/// The names in a folder, sorted.
pub(super) fn names(folder: &Path) -> Result<Vec<String>> {
    let read = |source| ModelError::Read { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        names.push(entry.map_err(read)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
