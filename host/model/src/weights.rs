//! The tensors of a model folder, memory-mapped: one safetensors file, or shards and their index.
//!
//! Opening checks the files and their headers and reads no weight. A tensor is a view of the map
//! when its dtype is the run's, else one converted copy.

use super::error::{ModelError, Result};
use super::folder::{self, WeightFiles};
use scaleot_store::{self, TensorEntry, check_safetensors};
use scaleot_tensor::{Device, Dtype, MappedBytes, Tensor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};

/// An index of a very large model has some 100,000 entries.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// The place of one tensor: its shard, and its range there.
struct Place {
    shard: usize,
    entry: TensorEntry,
}

struct Shard {
    path: PathBuf,
    map: MappedBytes,
}

/// All tensors of a folder by name.
pub struct Weights {
    shards: Vec<Shard>,
    places: BTreeMap<String, Place>,
    /// The file that a missing tensor is missing from.
    path: PathBuf,
}

impl Weights {
    /// Maps the weight files of a folder, or the one that its config names, and reads their headers.
    ///
    /// # Errors
    /// Files that are missing, cannot be read, or do not belong together.
    pub fn open(folder: &Path, named: Option<&str>) -> Result<Weights> {
        folder::check_folder(folder)?;
        match folder::find_weights(folder, named)? {
            WeightFiles::Single(path) => {
                let mut weights = Weights::empty(path.clone());
                weights.add_shard(&path)?;
                Ok(weights)
            }
            WeightFiles::Sharded(path) => Weights::open_sharded(folder, &path),
        }
    }

    fn empty(path: PathBuf) -> Weights {
        Weights { shards: Vec::new(), places: BTreeMap::new(), path }
    }

    fn open_sharded(folder: &Path, index: &Path) -> Result<Weights> {
        let placed = read_index(folder, index)?;
        let mut weights = Weights::empty(index.to_owned());
        let mut files: Vec<&String> = placed.values().collect();
        files.sort();
        files.dedup();
        for file in files {
            weights.add_shard(&folder.join(file))?;
        }
        weights.check_placed(folder, index, &placed)?;
        Ok(weights)
    }

    /// Every tensor of the index is in the shard that the index says.
    fn check_placed(&self, folder: &Path, index: &Path, placed: &BTreeMap<String, String>) -> Result<()> {
        for (tensor, file) in placed {
            let path = folder.join(file);
            let found = self.places.get(tensor).and_then(|e| self.shards.get(e.shard));
            if found.is_none_or(|shard| shard.path != path) {
                let (tensor, index) = (tensor.clone(), index.to_owned());
                return Err(ModelError::TensorElsewhere { path, tensor, index });
            }
        }
        Ok(())
    }

    fn add_shard(&mut self, path: &Path) -> Result<()> {
        folder::check_file(path)?;
        let read = |source| ModelError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read)?;
        let before = file.metadata().map_err(read)?;
        let index = check_safetensors(path)?;
        let map = MappedBytes::new(&file, path)?;
        check_unchanged(path, &before, &std::fs::metadata(path).map_err(read)?)?;
        let shard = self.shards.len();
        for entry in index.tensors() {
            let place = Place { shard, entry: entry.clone() };
            if let Some(first) = self.places.insert(entry.name.clone(), place) {
                let first = self.shards.get(first.shard).map(|s| s.path.clone()).unwrap_or_default();
                return Err(ModelError::TensorTwice { tensor: entry.name.clone(), first, second: path.to_owned() });
            }
        }
        self.shards.push(Shard { path: path.to_owned(), map });
        Ok(())
    }

    /// The files that hold the tensors, in the order of their names; what else lies in the folder is none of them.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.shards.iter().map(|shard| shard.path.as_path())
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// True if there is a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// The shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<Vec<i64>> {
        self.places.get(name).map(|place| signed(&place.entry.shape))
    }

    /// The file that holds a tensor; for a missing one, the file that should have named it.
    pub fn file_of(&self, name: &str) -> &Path {
        let shard = self.places.get(name).and_then(|place| self.shards.get(place.shard));
        shard.map_or(&self.path, |shard| &shard.path)
    }

    /// The bytes of a tensor as they are in the file.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.bytes_at(self.places.get(name)?)
    }

    /// Every tensor in order of name, with its bytes as they are in the file.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &TensorEntry, &[u8])> {
        self.places.iter().filter_map(|(name, place)| Some((name.as_str(), &place.entry, self.bytes_at(place)?)))
    }

    fn bytes_at(&self, place: &Place) -> Option<&[u8]> {
        self.shards.get(place.shard)?.map.bytes().get(place.entry.range()?)
    }

    /// A tensor that must be there with that shape, in the run's dtype and place.
    ///
    /// # Errors
    /// A tensor that is missing, or of another shape or type.
    pub fn get(&self, name: &str, shape: &[i64], dtype: Dtype, device: Device) -> Result<Tensor> {
        let (path, tensor) = (self.file_of(name).to_owned(), name.to_owned());
        let Some(place) = self.places.get(name) else {
            return Err(ModelError::TensorMissing { path, tensor, expected: shape.to_vec() });
        };
        let found = signed(&place.entry.shape);
        if found != shape {
            return Err(ModelError::TensorShape { path, tensor, found, expected: shape.to_vec() });
        }
        let stored = match place.entry.dtype {
            stored @ (Dtype::F32 | Dtype::F16 | Dtype::BF16) => stored,
            Dtype::F64 => return Err(ModelError::TensorDtype { path, tensor, found: "F64" }),
            other => return Err(ModelError::TensorInteger { path, tensor, found: other.name() }),
        };
        let (Some(shard), Some(range)) = (self.shards.get(place.shard), place.entry.range()) else {
            return Err(ModelError::TensorMissing { path, tensor, expected: shape.to_vec() });
        };
        let view = shard.map.tensor(range.start, stored, shape)?;
        Ok(view.to_device(device)?.to_dtype(dtype)?)
    }
}

/// A checked file has no size beyond 63 bits, so nothing is lost.
fn signed(shape: &[u64]) -> Vec<i64> {
    shape.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect()
}

/// `weight_map`: tensor → file, with file names that stay in the folder.
fn read_index(folder: &Path, path: &Path) -> Result<BTreeMap<String, String>> {
    let text = folder::read_small(path, MAX_INDEX_BYTES)?;
    let raw = folder::json_object(path, &text)?;
    let wrong = |key: &str, value: Option<&Value>, expected| ModelError::Index {
        path: path.to_owned(),
        key: key.to_owned(),
        found: value.map_or_else(|| "missing".to_owned(), |v| v.to_string().chars().take(80).collect()),
        expected,
    };
    let map = raw.get("weight_map");
    let Some(map) = map.and_then(Value::as_object).filter(|m| !m.is_empty()) else {
        return Err(wrong("weight_map", map, "an object that names the shard of every tensor"));
    };
    let mut placed = BTreeMap::new();
    for (tensor, value) in map {
        let Some(shard) = value.as_str() else {
            return Err(wrong(tensor, Some(value), "the name of a shard"));
        };
        let (path, tensor, shard) = (path.to_owned(), tensor.clone(), shard.to_owned());
        if !folder::is_plain_name(&shard) || !shard.ends_with(".safetensors") {
            let shard = shard.escape_debug().take(80).collect();
            return Err(ModelError::ShardName { path, shard, tensor });
        }
        if std::fs::symlink_metadata(folder.join(&shard)).is_err() {
            return Err(ModelError::ShardMissing { path, shard, tensor });
        }
        placed.insert(tensor, shard);
    }
    Ok(placed)
}

/// A file that changed while we looked at it may not be what we checked.
fn check_unchanged(path: &Path, before: &Metadata, after: &Metadata) -> Result<()> {
    let same = before.len() == after.len() && before.modified().ok() == after.modified().ok();
    if same { Ok(()) } else { Err(ModelError::Changed { path: path.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let look = || std::fs::metadata(file.path()).unwrap();
        let before = look();
        check_unchanged(file.path(), &before, &look()).unwrap();
        std::fs::write(file.path(), "longer").unwrap();
        let error = check_unchanged(file.path(), &before, &look()).unwrap_err().to_string();
        let expected = "changed while it was being read; wait until it is written, then try again";
        assert_eq!(error, format!("{}: {expected}", file.path().display()));
        // Same length, other time.
        let before = look();
        file.as_file().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert!(check_unchanged(file.path(), &before, &look()).is_err());
    }
}
