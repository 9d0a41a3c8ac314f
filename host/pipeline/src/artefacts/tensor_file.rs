//! Tensors between stages: one safetensors file, written as a stream and read by mapping it.
//!
//! Reading checks the envelope first (`store::check_safetensors`), then every value; nothing is copied.

use crate::error::StageError;
use scaleot_store::{StageDir, TensorIndex, TensorSource, check_finite, check_safetensors};
use scaleot_tensor::{Dtype, MappedBytes, Tensor};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A mapped file of tensors.
pub struct TensorFile {
    path: PathBuf,
    index: TensorIndex,
    map: MappedBytes,
}

impl TensorFile {
    /// Checks and maps a file.
    ///
    /// # Errors
    /// The fault of the file, naming file, tensor and place.
    pub fn open(path: &Path) -> Result<Self, StageError> {
        let index = check_safetensors(path)?;
        let file = File::open(path).map_err(|source| scaleot_store::StoreError::read(path, source))?;
        check_finite(&index)?;
        let map = MappedBytes::new(&file, path)?;
        if map.bytes().len() as u64 != index.file_len() {
            return Err(StageError::InvalidArtefact {
                path: path.display().to_string(),
                what: "length".into(),
                found: format!("{} bytes", map.bytes().len()),
                expected: format!("{} bytes, as when it was checked", index.file_len()),
            });
        }
        Ok(Self { path: path.into(), index, map })
    }

    /// Names in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.index.names()
    }

    /// The file's path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A tensor without a copy, if the file has it.
    ///
    /// # Errors
    /// A type that is no weight's.
    pub fn find(&self, name: &str) -> Result<Option<Tensor>, StageError> {
        let Some(entry) = self.index.get(name) else { return Ok(None) };
        let dtype =
            weight_dtype(entry.dtype).ok_or_else(|| self.refuse(name, entry.dtype.to_string(), "F32, F16 or BF16"))?;
        let shape: Vec<i64> = entry.shape.iter().map(|&size| size as i64).collect();
        let start = entry.range().map_or(usize::MAX, |range| range.start);
        Ok(Some(self.map.tensor(start, dtype, &shape)?))
    }

    /// A tensor that must be there, in this shape.
    ///
    /// # Errors
    /// The name, with what was found and expected.
    pub fn get(&self, name: &str, shape: &[i64]) -> Result<Tensor, StageError> {
        let tensor = self.find(name)?.ok_or_else(|| self.refuse(name, "nothing".into(), &format!("{shape:?}")))?;
        if tensor.shape() != shape {
            return Err(self.refuse(name, format!("{:?}", tensor.shape()), &format!("{shape:?}")));
        }
        Ok(tensor)
    }

    /// An error about one tensor of this file.
    pub fn refuse(&self, name: &str, found: String, expected: &str) -> StageError {
        StageError::InvalidArtefact {
            path: self.path.display().to_string(),
            what: format!("tensor {}", scaleot_store::escape::escape(name)),
            found,
            expected: expected.into(),
        }
    }
}

/// A type that weights have.
fn weight_dtype(dtype: Dtype) -> Option<Dtype> {
    matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16).then_some(dtype)
}

/// Writes named tensors as one file of a stage; a tensor is put in order only while it is written.
///
/// # Errors
/// A value that is not finite, by name; a full disk.
pub fn write_tensors(stage: &mut StageDir, file: &str, tensors: &[(String, Tensor)]) -> Result<(), StageError> {
    let sources = tensors.iter().map(|(name, tensor)| source(name, tensor)).collect::<Result<Vec<_>, _>>()?;
    Ok(stage.write_safetensors(file, &sources)?)
}

fn source<'a>(name: &str, tensor: &'a Tensor) -> Result<TensorSource<'a>, StageError> {
    let dtype = weight_dtype(tensor.dtype()).ok_or_else(|| StageError::InvalidValue {
        subject: name.to_owned(),
        what: "type".into(),
        found: format!("{:?}", tensor.dtype()),
        expected: "a type that weights have".into(),
    })?;
    let shape = tensor.shape().into_iter().map(|size| size as u64).collect();
    let write = move |out: &mut dyn Write| -> io::Result<()> {
        let ordered = tensor
            .detach()
            .and_then(|tensor| tensor.to_device(scaleot_tensor::Device::Cpu))
            .and_then(|tensor| tensor.contiguous())
            .map_err(io::Error::other)?;
        out.write_all(ordered.as_bytes().map_err(io::Error::other)?)
    };
    Ok(TensorSource { name: name.into(), dtype, shape, write: Box::new(write) })
}
