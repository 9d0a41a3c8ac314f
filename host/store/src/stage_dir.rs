//! The folder of one stage, made visible whole.
//!
//! Protocol: files are committed into a hidden folder, `manifest.json` last; then one rename makes the folder visible.
//! An earlier folder of the name steps aside for the rename and is removed after it; cut in between, [`super::RunDir`] puts it back.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::TempDir;

use super::atomic_file::{AtomicFile, FileRecord, folder_of, sync_folder};
use super::commit_point::CommitPoint;
use super::error::StoreError;
use super::folder::{begin_folder, remove};
use super::manifest::{FileEntry, MANIFEST_NAME, Manifest, ManifestHead};
use super::names::{FILE_NAME_RULE, is_file_name};
use super::safetensors_write::{TensorSource, write_safetensors_file};
use super::verified::{self, VerifiedFolder};
use crate::escape::escape;

/// Beginning of a stage's name while a newer one takes its place.
pub(super) const OLD_PREFIX: &str = ".old-";

/// A stage's folder under construction; dropped before [`StageDir::commit`], it leaves no trace.
#[derive(Debug)]
pub struct StageDir {
    temp: TempDir,
    target: PathBuf,
    files: BTreeMap<String, FileEntry>,
}

impl StageDir {
    pub(super) fn begin(root: &Path, name: &str) -> Result<Self, StoreError> {
        let target = root.join(name);
        let temp = begin_folder(&target)?;
        Ok(Self { temp, target, files: BTreeMap::new() })
    }

    /// The path of the folder while it is being written; not the one that it will have.
    pub fn path(&self) -> &Path {
        self.temp.path()
    }

    /// Writes a listed file through `fill`; `name` may hold `/`.
    ///
    /// # Errors
    /// A name that leaves the folder, an error of `fill`, or a full disk.
    pub fn write(
        &mut self,
        name: &str,
        fill: impl FnOnce(&mut AtomicFile) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let mut file = AtomicFile::create(&self.place(name)?)?;
        fill(&mut file).map_err(|source| file.write_fault(source))?;
        let record = file.commit()?;
        self.list(name, &record);
        Ok(())
    }

    /// Writes a listed file that lies in memory.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.write(name, |file| io::Write::write_all(file, bytes))
    }

    /// Writes a listed file as readable JSON.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_json(&mut self, name: &str, value: &impl Serialize) -> Result<(), StoreError> {
        self.write(name, |file| {
            serde_json::to_writer_pretty(&mut *file, value)?;
            io::Write::write_all(file, b"\n")
        })
    }

    /// Writes a listed safetensors file.
    ///
    /// # Errors
    /// As [`Self::write`], or a tensor that cannot be written.
    pub fn write_safetensors(&mut self, name: &str, tensors: &[TensorSource<'_>]) -> Result<(), StoreError> {
        let record = write_safetensors_file(&self.place(name)?, tensors)?;
        self.list(name, &record);
        Ok(())
    }

    /// Lists a file that the caller committed to the folder itself, under its relative `name`.
    pub fn list(&mut self, name: &str, record: &FileRecord) {
        self.files.insert(name.to_owned(), FileEntry { size: record.size, sha256: record.sha256 });
    }

    /// Writes the manifest and makes the folder visible; gives it back as a reader would get it.
    ///
    /// # Errors
    /// A file in the folder that is not listed, or a full disk.
    pub fn commit(self, head: ManifestHead, body: &impl Serialize) -> Result<VerifiedFolder, StoreError> {
        self.commit_checked(head, body, |_| Ok(()))
    }

    /// As [`Self::commit`], if `check` is content with the whole folder as a reader would get it; else it leaves no trace.
    ///
    /// # Errors
    /// As [`Self::commit`], or the refusal of `check`.
    pub fn commit_checked<E: From<StoreError>>(
        self,
        head: ManifestHead,
        body: &impl Serialize,
        check: impl FnOnce(&VerifiedFolder) -> Result<(), E>,
    ) -> Result<VerifiedFolder, E> {
        let staged = self.write_manifest(head, body)?;
        check(&Manifest::verify(staged.temp.path(), head)?)?;
        let Self { temp, target, .. } = staged;
        make_visible(temp, &target)?;
        Ok(Manifest::verify(&target, head)?)
    }

    /// Writes the manifest.
    fn write_manifest(self, head: ManifestHead, body: &impl Serialize) -> Result<Self, StoreError> {
        let manifest_path = self.target.join(MANIFEST_NAME);
        let body = serde_json::to_value(body)
            .map_err(|error| StoreError::ManifestShape { path: manifest_path, problem: error.to_string() })?;
        let manifest = Manifest::new(head, self.files, body);
        verified::check_listing(self.temp.path(), manifest.files.keys())?;
        manifest.write(self.temp.path())?;
        Ok(Self { files: BTreeMap::new(), ..self })
    }

    fn place(&self, name: &str) -> Result<PathBuf, StoreError> {
        if !is_file_name(name) || name == MANIFEST_NAME {
            let expected = FILE_NAME_RULE;
            return Err(StoreError::BadName { path: self.target.clone(), name: escape(name), expected });
        }
        let path = self.temp.path().join(name);
        let fault = |source| StoreError::commit(&self.target.join(name), CommitPoint::MakeTemp, source, 0);
        fs::create_dir_all(folder_of(&path)).map_err(fault)?;
        Ok(path)
    }
}

pub(super) fn make_visible(temp: TempDir, target: &Path) -> Result<(), StoreError> {
    let fault = |step, source| StoreError::commit(target, step, source, 0);
    let root = folder_of(target);
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let old = root.join(format!("{OLD_PREFIX}{name}"));
    sync_folder(temp.path()).map_err(|source| fault(CommitPoint::SyncFolder, source))?;
    readable(temp.path()).map_err(|source| fault(CommitPoint::Rename, source))?;
    let replaces = target.exists();
    if replaces {
        rename(target, &old).map_err(|source| fault(CommitPoint::Rename, source))?;
    }
    if let Err(source) = rename(temp.path(), target) {
        if replaces {
            // The old folder must not stay hidden; should this fail too, the next start puts it back.
            let _ = fs::rename(&old, target);
        }
        return Err(fault(CommitPoint::Rename, source));
    }
    // The folder is visible under its own name now: nothing is left to remove when `temp` goes.
    let _ = temp.keep();
    sync_folder(root).map_err(|source| fault(CommitPoint::SyncFolder, source))?;
    if replaces {
        remove(&old).map_err(|source| fault(CommitPoint::Prune, source))?;
    }
    Ok(())
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    CommitPoint::Rename.pass()?;
    fs::rename(from, to)
}

/// Gives a temporary folder, which is private at first, the mode of its parent.
fn readable(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, fs::metadata(folder_of(folder))?.permissions())
}
