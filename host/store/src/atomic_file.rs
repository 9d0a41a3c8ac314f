//! One file, made visible whole or not at all.
//!
//! Protocol: temporary file in the same folder (exclusive), write, flush, sync,
//! read back and compare SHA-256, rename, sync the folder. Dropped before [`AtomicFile::commit`], it leaves no trace.
//! The mode of a file that is replaced is kept; a new one gets what the user's umask leaves.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Seek as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::commit_point::CommitPoint;
use super::digest::{Digest, digest_reader};
use super::disk::free_bytes;
use super::error::StoreError;

/// Beginning of the names of unfinished files and folders; start-up removes them from a run folder.
pub(super) const TEMP_PREFIX: &str = ".tmp-";

/// Writes of this size reach the system; smaller ones are gathered.
const BUFFER: usize = 1 << 18;

/// Record of a committed file: enough for a line of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRecord {
    /// The last part of the path.
    pub name: String,
    pub size: u64,
    pub sha256: Digest,
}

/// A file under construction.
pub struct AtomicFile {
    target: PathBuf,
    writer: BufWriter<NamedTempFile>,
    hash: Sha256,
    written: u64,
    /// The size that the caller announced, for the message of a full disk.
    announced: u64,
    write_step: CommitPoint,
    rename_step: CommitPoint,
}

impl AtomicFile {
    /// Begins a file that will be visible as `target` once committed.
    ///
    /// # Errors
    /// A folder in which no file can be made.
    pub fn create(target: &Path) -> Result<Self, StoreError> {
        Self::begin(target, 0)
    }

    /// Like [`Self::create`], refused at once where `size` bytes do not fit on the disk.
    ///
    /// # Errors
    /// Too little room on the disk, or a folder in which no file can be made.
    pub(crate) fn create_sized(target: &Path, size: u64) -> Result<Self, StoreError> {
        if free_bytes(folder_of(target)).is_some_and(|free| free < size) {
            let source = io::Error::from(io::ErrorKind::StorageFull);
            return Err(StoreError::commit(target, CommitPoint::MakeTemp, source, size));
        }
        Self::begin(target, size)
    }

    fn begin(target: &Path, announced: u64) -> Result<Self, StoreError> {
        let temp =
            make_temp(target).map_err(|source| StoreError::commit(target, CommitPoint::MakeTemp, source, announced))?;
        Ok(Self {
            target: target.to_path_buf(),
            writer: BufWriter::with_capacity(BUFFER, temp),
            hash: Sha256::new(),
            written: 0,
            announced,
            write_step: CommitPoint::Write,
            rename_step: CommitPoint::Rename,
        })
    }

    /// Uses the manifest's own points, which come after those of the files that it lists.
    pub(super) fn for_manifest(mut self) -> Self {
        self.write_step = CommitPoint::ManifestWrite;
        self.rename_step = CommitPoint::ManifestRename;
        self
    }

    /// The path that the file will have.
    pub fn path(&self) -> &Path {
        &self.target
    }

    /// Writes all of `bytes`, with the store's error.
    ///
    /// # Errors
    /// A full disk.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.write_all(bytes).map_err(|source| self.fault(self.write_step, source))
    }

    /// An error met while a caller wrote through [`Write`], with this file's path and figures.
    pub(crate) fn write_fault(&self, source: io::Error) -> StoreError {
        self.fault(self.write_step, source)
    }

    /// Makes the file visible; on any error an older file of the name is as it was.
    ///
    /// # Errors
    /// A disk that refuses to write, gives back other bytes than were written, or refuses the rename.
    pub fn commit(mut self) -> Result<FileRecord, StoreError> {
        self.flush().map_err(|source| self.fault(CommitPoint::Flush, source))?;
        self.sync().map_err(|source| self.fault(CommitPoint::Sync, source))?;
        let expected = Digest::finish(self.hash.clone());
        let found = self.read_back().map_err(|source| self.fault(CommitPoint::Verify, source))?;
        if found != expected {
            return Err(StoreError::Reread { path: self.target, found, expected });
        }
        let record = FileRecord { name: last_part(&self.target), size: self.written, sha256: expected };
        self.rename()?;
        Ok(record)
    }

    fn sync(&self) -> io::Result<()> {
        CommitPoint::Sync.pass()?;
        self.writer.get_ref().as_file().sync_all()
    }

    fn read_back(&mut self) -> io::Result<Digest> {
        CommitPoint::Verify.pass()?;
        let file = self.writer.get_mut().as_file_mut();
        file.rewind()?;
        digest_reader(file).map(|(digest, _)| digest)
    }

    fn rename(self) -> Result<(), StoreError> {
        let Self { target, writer, written, announced, rename_step, .. } = self;
        let needed = written.max(announced);
        let fault = |step, source| StoreError::commit(&target, step, source, needed);
        let (temp, unflushed) = writer.into_parts();
        // Flushed before; a failed flush never reaches this line.
        if unflushed.map_or(true, |rest| !rest.is_empty()) {
            return Err(fault(CommitPoint::Flush, io::ErrorKind::WriteZero.into()));
        }
        rename_step.pass().map_err(|source| fault(rename_step, source))?;
        temp.persist(&target).map_err(|error| fault(rename_step, error.error))?;
        sync_folder(folder_of(&target)).map_err(|source| fault(CommitPoint::SyncFolder, source))
    }

    fn fault(&self, step: CommitPoint, source: io::Error) -> StoreError {
        StoreError::commit(&self.target, step, source, self.written.max(self.announced))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_step.pass()?;
        let taken = self.writer.write(bytes)?;
        // Only what the writer took is hashed, so a short write is retried by the caller and never hidden.
        self.hash.update(bytes.get(..taken).unwrap_or_default());
        self.written += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        CommitPoint::Flush.pass()?;
        self.writer.flush()
    }
}

/// Writes a file that lies in memory, in place of an older one of its name.
///
/// # Errors
/// A place that is closed, or a full disk.
pub fn write_file(target: &Path, bytes: &[u8]) -> Result<FileRecord, StoreError> {
    let mut file = AtomicFile::create(target)?;
    file.put(bytes)?;
    file.commit()
}

fn make_temp(target: &Path) -> io::Result<NamedTempFile> {
    CommitPoint::MakeTemp.pass()?;
    // What the umask leaves of this mode; the library's own default would hide the file from the group.
    let mode = Permissions::from_mode(0o666);
    let temp = tempfile::Builder::new().prefix(TEMP_PREFIX).permissions(mode).tempfile_in(folder_of(target))?;
    if let Ok(old) = fs::metadata(target) {
        temp.as_file().set_permissions(old.permissions())?;
    }
    Ok(temp)
}

/// Makes renames within `folder` survive a power loss.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    CommitPoint::SyncFolder.pass()?;
    File::open(folder)?.sync_all()
}

/// The folder that holds `target`; the current one for a bare name.
pub(super) fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn last_part(path: &Path) -> String {
    path.file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned()
}

#[cfg(test)]
#[path = "atomic_file_tests.rs"]
mod tests;
