//! The strict envelope check of a safetensors file, before any loader sees it.
//!
//! Layout: 8 bytes of little-endian header length, a JSON header, then the data.
//! Rule: every byte of the data belongs to exactly one tensor, in the dtypes that we
//! compute with; no dimension is zero; names are plain and unique. Values are checked apart, in [`super::finite`].

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::dtype::Dtype;
use super::error::StoreError;
use super::header_error::{HeaderError, MAX_HEADER};
use super::regular_file::kind_name;
use super::safetensors_header::{LocatedHeaderError, RawEntry, RawHeader, read_header};
use crate::escape::escape;

/// One tensor of a checked file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorEntry {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<u64>,
    /// First byte, counted from the start of the file.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl TensorEntry {
    /// The bytes that the tensor fills.
    pub fn byte_len(&self) -> u64 {
        self.end - self.start
    }

    /// The tensor's place in a mapping of the whole file; `None` where the address space is too small.
    pub fn range(&self) -> Option<Range<usize>> {
        Some(usize::try_from(self.start).ok()?..usize::try_from(self.end).ok()?)
    }
}

/// Contents of a checked file; only [`check_safetensors`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorIndex {
    path: PathBuf,
    file_len: u64,
    tensors: Vec<TensorEntry>,
    by_name: BTreeMap<String, usize>,
    metadata: BTreeMap<String, String>,
}

impl TensorIndex {
    /// The file that was checked.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's length when it was checked; a mapping of another length must be refused.
    pub fn file_len(&self) -> u64 {
        self.file_len
    }

    /// All tensors, in the order of their bytes.
    pub fn tensors(&self) -> &[TensorEntry] {
        &self.tensors
    }

    /// The tensor of a name.
    pub fn get(&self, name: &str) -> Option<&TensorEntry> {
        self.by_name.get(name).and_then(|&index| self.tensors.get(index))
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// The header's free text: foreign strings, to be escaped before printing.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}

/// Checks a file's envelope. A link is followed, since model folders of the hub's cache consist of links.
///
/// # Errors
/// The first fault of the header, by its byte and its tensor, or a file that cannot be read.
pub fn check_safetensors(path: &Path) -> Result<TensorIndex, StoreError> {
    let mut file = open(path)?;
    let unreadable = |source| StoreError::read(path, source);
    let file_len = file.metadata().map_err(unreadable)?.len();
    let fault = |offset, problem| refusal(path, LocatedHeaderError { tensor: None, offset, problem });
    if file_len < 8 {
        return Err(fault(0, HeaderError::TooShort { found: file_len }));
    }
    let mut prefix = [0_u8; 8];
    file.read_exact(&mut prefix).map_err(unreadable)?;
    let header_len = u64::from_le_bytes(prefix);
    if !(2..=MAX_HEADER).contains(&header_len) {
        return Err(fault(0, HeaderError::HeaderLength { found: header_len }));
    }
    if header_len > file_len - 8 {
        return Err(fault(0, HeaderError::HeaderPastEnd { found: header_len, rest: file_len - 8 }));
    }
    let mut header = Vec::new();
    file.take(header_len).read_to_end(&mut header).map_err(unreadable)?;
    let data_start = 8 + header_len;
    let data = file_len - data_start;
    read_header(&header, data)
        .and_then(|raw| fit_together(raw, data))
        .map(|raw| index(path, file_len, raw, data_start))
        .map_err(|fault| refusal(path, fault))
}

fn open(path: &Path) -> Result<File, StoreError> {
    let unreadable = |source| StoreError::read(path, source);
    let kind = fs::metadata(path).map_err(unreadable)?.file_type();
    if !kind.is_file() {
        return Err(StoreError::NotRegular { path: path.to_path_buf(), found: kind_name(kind) });
    }
    // A pipe that took the file's place in the meantime must not block us.
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(unreadable)
}

/// Puts the entries in the order of their bytes and refuses overlap, holes and a tail.
fn fit_together(mut raw: RawHeader, data: u64) -> Result<RawHeader, LocatedHeaderError> {
    raw.entries.sort_by(|a, b| (a.start, a.end, &a.name).cmp(&(b.start, b.end, &b.name)));
    let mut before: Option<&RawEntry> = None;
    for entry in &raw.entries {
        let (start, end) = (entry.start, entry.end);
        let free = before.map_or(0, |other| other.end);
        let problem = match before {
            Some(other) if start < other.end => {
                HeaderError::Overlap { start, end, other: other.name.clone(), other_end: other.end }
            }
            _ if start > free => HeaderError::Hole { start: free, end: start },
            _ => {
                before = Some(entry);
                continue;
            }
        };
        return Err(LocatedHeaderError { tensor: Some(entry.name.clone()), offset: entry.offset, problem });
    }
    let used = before.map_or(0, |last| last.end);
    if used < data {
        let problem = HeaderError::Trailing { found: data - used };
        return Err(LocatedHeaderError { tensor: None, offset: before.map_or(0, |last| last.offset), problem });
    }
    Ok(raw)
}

fn index(path: &Path, file_len: u64, raw: RawHeader, data_start: u64) -> TensorIndex {
    let absolute = |RawEntry { name, dtype, shape, start, end, .. }| TensorEntry {
        name,
        dtype,
        shape,
        start: data_start + start,
        end: data_start + end,
    };
    let tensors: Vec<_> = raw.entries.into_iter().map(absolute).collect();
    let by_name = tensors.iter().enumerate().map(|(index, entry)| (entry.name.clone(), index)).collect();
    TensorIndex { path: path.to_path_buf(), file_len, tensors, by_name, metadata: raw.metadata }
}

fn refusal(path: &Path, error: LocatedHeaderError) -> StoreError {
    let LocatedHeaderError { tensor, offset, problem } = error;
    StoreError::Safetensors { path: path.to_path_buf(), tensor: tensor.map(|name| escape(&name)), offset, problem }
}

#[cfg(test)]
#[path = "safetensors_tests.rs"]
mod tests;
