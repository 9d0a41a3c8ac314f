//! A folder whose every byte was checked against its manifest.
//!
//! Rule: regular files only, exactly those listed, sizes before digests. Nothing else makes a [`VerifiedFolder`],
//! and loaders of bundles, deltas and finished stages take only that. A file that changed since is refused when opened.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::digest::{Digest, digest_reader};
use super::error::StoreError;
use super::manifest::{FileEntry, MANIFEST_NAME, Manifest, ManifestHead};
use super::regular_file::{kind_name, regular_file};
use crate::escape::escape;

/// Proof that a folder held what its manifest says.
#[derive(Debug)]
pub struct VerifiedFolder {
    folder: PathBuf,
    manifest: Manifest,
    stamps: BTreeMap<String, Stamp>,
}

/// Properties by which a file that was written to or exchanged since its check is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl VerifiedFolder {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The checked manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest's body in the reader's own type, which should deny unknown fields.
    ///
    /// # Errors
    /// A body of another shape.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        T::deserialize(&self.manifest.body).map_err(|error| StoreError::ManifestShape {
            path: self.folder.join(MANIFEST_NAME),
            problem: format!("body: {}", escape(&error.to_string())),
        })
    }

    /// True if the manifest lists `name`.
    pub fn has(&self, name: &str) -> bool {
        self.stamps.contains_key(name)
    }

    /// Opens a listed file, refused if it changed since it was checked.
    ///
    /// # Errors
    /// A file that is not listed, was changed since, or cannot be read.
    pub fn open(&self, name: &str) -> Result<File, StoreError> {
        let path = self.folder.join(name);
        let Some(&expected) = self.stamps.get(name) else {
            return Err(StoreError::ExtraFile { path });
        };
        let file = open_regular(&path)?;
        let found = file.metadata().map_err(|source| StoreError::read(&path, source))?;
        if stamp(&found) != expected {
            return Err(StoreError::ChangedSinceCheck { path });
        }
        Ok(file)
    }

    /// The same folder under a new name: a rename changes no file.
    pub(super) fn with_path(self, folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), ..self }
    }

    /// The path of a listed file, for readers that open it themselves; refused like [`Self::open`].
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn file(&self, name: &str) -> Result<PathBuf, StoreError> {
        self.open(name)?;
        Ok(self.folder.join(name))
    }
}

impl Manifest {
    /// Checks the manifest and every byte of the folder; the only way to a [`VerifiedFolder`].
    ///
    /// # Errors
    /// As [`read`](Self::read), or the first file that is missing, not listed, or not as it was written.
    pub fn verify(folder: &Path, head: ManifestHead) -> Result<VerifiedFolder, StoreError> {
        verify(folder, Self::read(folder, head)?)
    }
}

/// Checks every file of `folder` against `manifest`.
fn verify(folder: &Path, manifest: Manifest) -> Result<VerifiedFolder, StoreError> {
    check_listing(folder, manifest.files.keys())?;
    for (name, entry) in &manifest.files {
        check_size(&folder.join(name), *entry)?;
    }
    let mut stamps = BTreeMap::new();
    for (name, entry) in &manifest.files {
        stamps.insert(name.clone(), check_digest(&folder.join(name), *entry)?);
    }
    Ok(VerifiedFolder { folder: folder.to_path_buf(), manifest, stamps })
}

/// Refuses anything in `folder` that is not among `names`, and anything that is no regular file or folder.
pub(super) fn check_listing<'a>(folder: &Path, names: impl Iterator<Item = &'a String>) -> Result<(), StoreError> {
    let mut files = BTreeSet::from([folder.join(MANIFEST_NAME)]);
    let mut folders = BTreeSet::new();
    for path in names.map(|name| folder.join(name)) {
        let parents = path.ancestors().skip(1).take_while(|parent| *parent != folder);
        folders.extend(parents.map(Path::to_path_buf));
        files.insert(path);
    }
    let mut unread = vec![folder.to_path_buf()];
    while let Some(inner) = unread.pop() {
        for entry in fs::read_dir(&inner).map_err(|source| StoreError::read(&inner, source))? {
            let entry = entry.map_err(|source| StoreError::read(&inner, source))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(|source| StoreError::read(&path, source))?;
            match kind {
                _ if kind.is_file() && files.contains(&path) => {}
                _ if kind.is_dir() && folders.contains(&path) => unread.push(path),
                _ if kind.is_file() || kind.is_dir() => return Err(StoreError::ExtraFile { path }),
                _ => return Err(StoreError::NotRegular { path, found: kind_name(kind) }),
            }
        }
    }
    Ok(())
}

fn check_size(path: &Path, entry: FileEntry) -> Result<(), StoreError> {
    let found = match regular_file(path) {
        Err(StoreError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Err(StoreError::MissingFile { path: path.to_path_buf(), size: entry.size });
        }
        other => other?.len(),
    };
    if found == entry.size {
        Ok(())
    } else {
        Err(StoreError::FileSize { path: path.to_path_buf(), found, expected: entry.size })
    }
}

fn check_digest(path: &Path, entry: FileEntry) -> Result<Stamp, StoreError> {
    let file = open_regular(path)?;
    let metadata = file.metadata().map_err(|source| StoreError::read(path, source))?;
    let (found, _): (Digest, u64) = digest_reader(file).map_err(|source| StoreError::read(path, source))?;
    if found == entry.sha256 {
        Ok(stamp(&metadata))
    } else {
        Err(StoreError::FileDigest { path: path.to_path_buf(), found, expected: entry.sha256 })
    }
}

/// Opens a regular file; a link put there in the meantime is not followed and a pipe does not block.
fn open_regular(path: &Path) -> Result<File, StoreError> {
    regular_file(path)?;
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(|source| StoreError::read(path, source))
}

fn stamp(metadata: &Metadata) -> Stamp {
    Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    }
}
