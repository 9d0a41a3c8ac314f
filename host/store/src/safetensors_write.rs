//! Writes a safetensors file as a stream: no tensor is ever held whole.
//!
//! Rule: equal tensors give equal bytes. Wider elements come first and names are sorted within a width, so with the
//! header padded to 8 bytes every element is aligned; `{"format":"pt"}` is the only metadata, as the ecosystem expects.
//! Lengths are counted and floating-point values are checked on their way out: what is not finite is never written.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use super::atomic_file::{AtomicFile, FileRecord};
use super::dtype::Dtype;
use super::error::StoreError;
use super::finite::FiniteScan;
use super::header_error::{HeaderError, MAX_DIMS, MAX_HEADER, MAX_TENSORS};
use super::names::is_tensor_name;
use super::safetensors_header::byte_count;
use crate::escape::escape;

/// Gives a tensor's elements, little-endian, row by row, in pieces of any size.
pub type WriteElements<'a> = Box<dyn Fn(&mut dyn Write) -> io::Result<()> + 'a>;

/// A tensor to be written.
pub struct TensorSource<'a> {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<u64>,
    pub write: WriteElements<'a>,
}

impl<'a> TensorSource<'a> {
    /// A tensor whose bytes lie in memory, or in a mapping.
    pub fn from_bytes(name: impl Into<String>, dtype: Dtype, shape: Vec<u64>, bytes: &'a [u8]) -> Self {
        Self { name: name.into(), dtype, shape, write: Box::new(move |out| out.write_all(bytes)) }
    }
}

/// A failed write: of the stream, whose path only the caller knows, or of a tensor.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Stream(#[from] io::Error),
    #[error(transparent)]
    Tensor(Box<StoreError>),
}

/// Writes a whole file: visible complete or not at all, refused at once where it does not fit on the disk.
///
/// # Errors
/// As [`write_safetensors`], or a full disk.
pub fn write_safetensors_file(path: &Path, tensors: &[TensorSource<'_>]) -> Result<FileRecord, StoreError> {
    let size = safetensors_size(tensors)?;
    let mut file = AtomicFile::create_sized(path, size)?;
    write_safetensors(&mut file, tensors).map_err(|error| match error {
        WriteError::Stream(source) => file.write_fault(source),
        WriteError::Tensor(error) => *error,
    })?;
    file.commit()
}

/// Writes header and data of `tensors`, in our order whatever theirs is.
///
/// An error leaves `out` half-written; [`write_safetensors_file`] is the way to a file.
///
/// # Errors
/// A tensor that no reader would take, a value that is not finite, or a stream that fails.
pub fn write_safetensors(out: &mut impl Write, tensors: &[TensorSource<'_>]) -> Result<(), WriteError> {
    let ordered = order(tensors)?;
    out.write_all(&header(&ordered)?)?;
    for (tensor, bytes) in ordered {
        let mut piece = Piece { out: &mut *out, written: 0, scan: FiniteScan::new(tensor.dtype) };
        let result = (tensor.write)(&mut piece);
        let (found, fault) = (piece.written, piece.scan.fault());
        // The scan stops the stream with an error of its own, so it is asked first.
        if let Some((index, found)) = fault {
            return Err(StoreError::NotFiniteToWrite { tensor: tensor.name.clone(), index, found }.into());
        }
        result?;
        if found != bytes {
            return Err(StoreError::TensorLength { tensor: tensor.name.clone(), found, expected: bytes }.into());
        }
    }
    Ok(())
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Tensor(Box::new(error))
    }
}

/// The length of the file that [`write_safetensors`] would make.
fn safetensors_size(tensors: &[TensorSource<'_>]) -> Result<u64, StoreError> {
    let ordered = order(tensors)?;
    let data: u64 = ordered.iter().map(|(_, bytes)| bytes).sum();
    Ok(header(&ordered)?.len() as u64 + data)
}

/// Wider elements first, then by name; each with its length in bytes.
fn order<'t, 'a>(tensors: &'t [TensorSource<'a>]) -> Result<Vec<(&'t TensorSource<'a>, u64)>, StoreError> {
    if let Some(extra) = tensors.get(MAX_TENSORS) {
        return Err(unwritable(extra, HeaderError::TooManyTensors));
    }
    let mut names = HashSet::new();
    let mut ordered = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        if !names.insert(&tensor.name) {
            return Err(StoreError::TensorTwice { tensor: tensor.name.clone() });
        }
        ordered.push((tensor, checked_length(tensor)?));
    }
    ordered.sort_by_key(|(tensor, _)| (Reverse(tensor.dtype.bytes()), &tensor.name));
    Ok(ordered)
}

fn checked_length(tensor: &TensorSource<'_>) -> Result<u64, StoreError> {
    if !is_tensor_name(&tensor.name) || tensor.name == "__metadata__" {
        return Err(unwritable(tensor, HeaderError::BadName));
    }
    if tensor.shape.len() > MAX_DIMS {
        return Err(unwritable(tensor, HeaderError::TooManyDims));
    }
    if tensor.dtype == Dtype::Other {
        return Err(unwritable(tensor, HeaderError::DtypeNotTaken { found: tensor.dtype.to_string() }));
    }
    byte_count(&tensor.shape, tensor.dtype)
        .ok_or_else(|| unwritable(tensor, HeaderError::TooManyElements { shape: tensor.shape.clone() }))
}

fn unwritable(tensor: &TensorSource<'_>, problem: HeaderError) -> StoreError {
    StoreError::TensorUnwritable { tensor: escape(&tensor.name), problem }
}

/// The length prefix and the JSON, padded with spaces to 8 bytes.
fn header(ordered: &[(&TensorSource<'_>, u64)]) -> Result<Vec<u8>, StoreError> {
    let mut json = String::from(r#"{"__metadata__":{"format":"pt"}"#);
    let mut start = 0_u64;
    for (tensor, bytes) in ordered {
        let end = start + bytes;
        let TensorSource { name, dtype, shape, .. } = tensor;
        // Names hold nothing that JSON would escape, and writing to a String cannot fail.
        let _ = write!(json, r#","{name}":{{"dtype":"{dtype}","shape":["#);
        for (position, dim) in shape.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            let _ = write!(json, "{comma}{dim}");
        }
        let _ = write!(json, r#"],"data_offsets":[{start},{end}]}}"#);
        start = end;
    }
    json.push('}');
    json.extend(std::iter::repeat_n(' ', json.len().next_multiple_of(8) - json.len()));
    let length = json.len() as u64;
    if length > MAX_HEADER {
        let problem = HeaderError::HeaderLength { found: length };
        return Err(StoreError::TensorUnwritable { tensor: "(all)".to_owned(), problem });
    }
    Ok([&length.to_le_bytes(), json.as_bytes()].concat())
}

/// One tensor's share of the stream.
struct Piece<'w, W> {
    out: &'w mut W,
    written: u64,
    scan: FiniteScan,
}

impl<W: Write> Write for Piece<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.out.write(bytes)?;
        self.scan.take(bytes.get(..taken).unwrap_or_default());
        self.written += taken as u64;
        if self.scan.fault().is_some() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
