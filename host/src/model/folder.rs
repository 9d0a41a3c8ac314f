//! A model folder before anything in it is believed: is it a folder, is each file a plain file
//! inside it, is a small file small.

use super::error::{ModelError, Result};
use serde_json::{Map, Value};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

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

/// Refuses everything but a regular file inside `folder`; a link is followed and must stay inside.
pub(super) fn check_file(folder: &Path, path: &Path) -> Result<()> {
    let read = |source| ModelError::Read { path: path.to_owned(), source };
    let kind = |kind: String| ModelError::FileKind { path: path.to_owned(), kind };
    let data = fs::symlink_metadata(path).map_err(read)?;
    if data.is_symlink() {
        let target = fs::canonicalize(path).map_err(read)?;
        let home = fs::canonicalize(folder).map_err(read)?;
        if !target.starts_with(&home) {
            return Err(kind(format!("found a symbolic link to {}", target.display())));
        }
    }
    let data = fs::metadata(path).map_err(read)?;
    if data.is_file() {
        return Ok(());
    }
    Err(kind(if data.is_dir() { "found a folder" } else { "found a pipe, socket or device" }.into()))
}

/// The whole of a file that must not be large.
pub(super) fn read_small(folder: &Path, path: &Path, limit: u64) -> Result<Vec<u8>> {
    check_file(folder, path)?;
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
    let found = match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => return Ok(object),
        Ok(Value::Array(_)) => "an array",
        Ok(Value::String(_)) => "a string",
        Ok(_) => "a number, true, false or null",
        Err(_) if text.is_empty() => {
            let message = "the file is empty".to_owned();
            return Err(ModelError::Json { path: path.to_owned(), message });
        }
        Err(e) => return Err(ModelError::Json { path: path.to_owned(), message: e.to_string() }),
    };
    Err(ModelError::JsonKind { path: path.to_owned(), found })
}

/// The files that hold the weights, as far as names tell.
pub(super) enum WeightFiles {
    Single(PathBuf),
    Sharded(PathBuf),
}

/// Finds the weights; says so when only a pickle is there.
pub(super) fn find_weights(folder: &Path) -> Result<WeightFiles> {
    let exists = |name: &str| fs::symlink_metadata(folder.join(name)).is_ok();
    for (name, make) in [
        ("model.safetensors", WeightFiles::Single as fn(PathBuf) -> WeightFiles),
        ("model.safetensors.index.json", WeightFiles::Sharded),
    ] {
        if exists(name) {
            return Ok(make(folder.join(name)));
        }
    }
    let pickled = |name: &str| {
        [".bin", ".pt", ".pth", ".ckpt", ".pkl"].iter().any(|end| name.ends_with(end)) && name != "training_args.bin"
    };
    match names(folder)?.into_iter().find(|name| pickled(name)) {
        Some(name) => Err(ModelError::OnlyPickle { path: folder.join(name) }),
        None => Err(ModelError::NoWeights { path: folder.to_owned() }),
    }
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
