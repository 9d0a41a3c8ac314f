//! The errors of the store.
//!
//! Rule: a message names the file, what was found, what was expected and, where it is not plain, what to do.
//! Names that came from a file are escaped before they get here.

use std::io;
use std::path::{Path, PathBuf};

use super::commit_point::CommitPoint;
use super::digest::Digest;
use super::disk::free_bytes;
use super::header_error::HeaderError;
use crate::exit_code::{ExitCode, HasExitCode};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{}: cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },

    #[error("{}: not written ({step}): {source}{}", path.display(), Space(*needed, *free))]
    Commit { path: PathBuf, step: CommitPoint, source: io::Error, needed: u64, free: Option<u64> },

    #[error("{}: the disk gave back {found}, but {expected} was written; the disk or its file system is faulty", path.display())]
    Reread { path: PathBuf, found: Digest, expected: Digest },

    #[error("{}: found a {found}, expected a regular file", path.display())]
    NotRegular { path: PathBuf, found: &'static str },

    #[error("{}: found a {found}, expected a folder", path.display())]
    NotAFolder { path: PathBuf, found: &'static str },

    #[error("{}: found {found} bytes, expected at most {limit}", path.display())]
    TooLarge { path: PathBuf, found: u64, limit: u64 },

    #[error("{}: not valid JSON at byte {offset}: {problem}", path.display())]
    Json { path: PathBuf, offset: usize, problem: String },

    #[error("{}: {problem}", path.display())]
    ManifestShape { path: PathBuf, problem: String },

    #[error("{}: found format `{found}`, expected `{expected}`", path.display())]
    Format { path: PathBuf, found: String, expected: String },

    #[error(
        "{}: made by {created_by} in version {found} of format `{format}`; this program reads versions up to {newest}. It needs {created_by} or later",
        path.display()
    )]
    NewerFormat { path: PathBuf, format: String, created_by: String, found: u64, newest: u32 },

    #[error("{}: found the name `{name}`, expected {expected}", path.display())]
    BadName { path: PathBuf, name: String, expected: &'static str },

    #[error("{}: found {found} {what}, expected at most {limit}", path.display())]
    TooMany { path: PathBuf, what: &'static str, found: usize, limit: usize },

    #[error("{}: found identity {found}, expected {expected}: the manifest was changed after it was written", path.display())]
    Identity { path: PathBuf, found: Digest, expected: Digest },

    #[error("{}: not in the form that it was written in, from byte {offset}: the manifest was changed after it was written", path.display())]
    NotCanonical { path: PathBuf, offset: usize },

    #[error("{}: missing; the manifest lists it with {size} bytes", path.display())]
    MissingFile { path: PathBuf, size: u64 },

    #[error("{}: not listed in the manifest; a verified folder holds nothing else", path.display())]
    ExtraFile { path: PathBuf },

    #[error("{}: found {found} bytes, expected {expected}", path.display())]
    FileSize { path: PathBuf, found: u64, expected: u64 },

    #[error("{}: found SHA-256 {found}, expected {expected}", path.display())]
    FileDigest { path: PathBuf, found: Digest, expected: Digest },

    #[error("{}: changed between check and read; run again when nothing writes to it", path.display())]
    ChangedSinceCheck { path: PathBuf },

    #[error("{}: {}header byte {offset}: {problem}", path.display(), TensorPart(tensor.as_deref()))]
    Safetensors { path: PathBuf, tensor: Option<String>, offset: u64, problem: HeaderError },

    #[error("tensor `{tensor}`: found {found} bytes written, expected {expected}")]
    TensorLength { tensor: String, found: u64, expected: u64 },

    #[error("tensor `{tensor}` is given twice to the writer")]
    TensorTwice { tensor: String },

    #[error("tensor `{tensor}`: a name, shape or dtype that cannot be written: {problem}")]
    TensorUnwritable { tensor: String, problem: HeaderError },

    #[error("{}: tensor `{tensor}`: found {found} at index {index}, expected a finite number", path.display())]
    NotFinite { path: PathBuf, tensor: String, index: u64, found: &'static str },

    #[error("tensor `{tensor}`: found {found} at index {index}, expected a finite number; nothing was written")]
    NotFiniteToWrite { tensor: String, index: u64, found: &'static str },

    #[error("{}: the run folder is in use by {holder}; wait for it, stop it, or choose another output", path.display())]
    Locked { path: PathBuf, holder: String },

    #[error(
        "{}: not empty and not a run folder (found `{found}`); choose an empty or new folder as output", path.display()
    )]
    Foreign { path: PathBuf, found: String },

    #[error("{}: exists already, and nothing was written over it; choose another place", path.display())]
    Exists { path: PathBuf },

    #[error("{}: the run folder lies inside the model folder {}; choose an output outside it", path.display(), model.display())]
    InsideModel { path: PathBuf, model: PathBuf },
}

impl StoreError {
    /// True if nothing can be written at the place at all, as opposed to a fault of what was written.
    pub fn is_closed_place(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let kinds = [FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull];
        matches!(self, Self::Commit { source, .. } if kinds.contains(&source.kind()))
    }

    /// A file of someone's that could not be read.
    pub fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_path_buf(), source }
    }

    /// A commit that stopped at `step`; a full disk gets its figures.
    pub(super) fn commit(path: &Path, step: CommitPoint, source: io::Error, needed: u64) -> Self {
        let full = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let free = if full { free_bytes(path.parent().unwrap_or(path)) } else { None };
        Self::Commit { path: path.to_path_buf(), step, source, needed, free }
    }
}

impl HasExitCode for StoreError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Commit { .. }
            | Self::Reread { .. }
            | Self::NotAFolder { .. }
            | Self::Locked { .. }
            | Self::Foreign { .. } => ExitCode::Resources,
            Self::InsideModel { .. } | Self::Exists { .. } => ExitCode::Usage,
            Self::NotFiniteToWrite { .. } => ExitCode::Numeric,
            Self::TensorLength { .. } | Self::TensorTwice { .. } | Self::TensorUnwritable { .. } => ExitCode::Bug,
            _ => ExitCode::Refused,
        }
    }
}

/// ` (12 bytes needed, 3 free)`, where the free space is known.
struct Space(u64, Option<u64>);

impl std::fmt::Display for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.1 {
            Some(free) => write!(f, " ({} bytes needed, {free} free)", self.0),
            None => Ok(()),
        }
    }
}

/// ``tensor `x`, ``, where a tensor is known.
struct TensorPart<'a>(Option<&'a str>);

impl std::fmt::Display for TensorPart<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(name) => write!(f, "tensor `{name}`, "),
            None => Ok(()),
        }
    }
}
