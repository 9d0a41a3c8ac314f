//! A run folder: one run, one process, one sub-folder a finished stage.
//!
//! Rule: a folder becomes ours by a marker file and is used under a lock; what is not ours is refused and left as it was.
//! A name that begins with `.tmp-` or `.old-` was never visible or is already replaced, so the holder of the lock removes it.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use super::atomic_file::{AtomicFile, TEMP_PREFIX, sync_folder};
use super::commit_point::CommitPoint;
use super::error::StoreError;
use super::folder::remove;
use super::manifest::{MANIFEST_NAME, Manifest, ManifestHead};
use super::names::is_name_part;
use super::regular_file::kind_name;
use super::run_lock::{LOCK_NAME, RunLock};
use super::stage_dir::{OLD_PREFIX, StageDir};
use super::verified::VerifiedFolder;
use crate::escape::escape;

/// The file that tells a run folder from any other.
pub(crate) const MARKER_NAME: &str = "scaleot-run.json";
const MARKER: &str = "{\n  \"format\": \"scaleot/run\",\n  \"format_version\": 1\n}\n";

/// An open run folder; dropping it lets the lock go.
#[derive(Debug)]
pub struct RunDir {
    root: PathBuf,
    /// None where the folder is only read and has no lock that a reader can take.
    lock: Option<RunLock>,
}

impl RunDir {
    /// Opens or creates the run folder `root`, which may not lie in `model_folder`.
    ///
    /// # Errors
    /// A folder that is foreign, in use, inside the model folder, or closed to us.
    pub fn open(root: &Path, model_folder: Option<&Path>) -> Result<Self, StoreError> {
        if let Some(model) = model_folder {
            refuse_inside(root, model)?;
        }
        refuse_foreign(root)?;
        let fault = |step, source| StoreError::commit(root, step, source, 0);
        fs::create_dir_all(root).map_err(|source| fault(CommitPoint::Lock, source))?;
        let lock = RunLock::take(root)?;
        // Asked again under the lock: another process may have put something there meanwhile.
        refuse_foreign(root)?;
        let run = Self { root: root.to_path_buf(), lock: Some(lock) };
        run.remove_orphans()?;
        if !root.join(MARKER_NAME).exists() {
            let mut marker = run.file(MARKER_NAME)?;
            marker.put(MARKER.as_bytes())?;
            marker.commit()?;
        }
        Ok(run)
    }

    /// Opens a run folder that is only read: nothing in it changes, so it may be an archive on a read-only or full disk.
    ///
    /// # Errors
    /// A folder that is no run folder, or one in which somebody writes.
    pub fn open_to_read(root: &Path) -> Result<Self, StoreError> {
        refuse_foreign(root)?;
        let lock = RunLock::share(root)?;
        Ok(Self { root: root.to_path_buf(), lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The process that held the lock and died, if any.
    pub fn taken_over_from(&self) -> Option<&str> {
        self.lock.as_ref()?.taken_over_from()
    }

    /// Begins the folder of a stage; an earlier one of the name stays visible until the new one is committed.
    ///
    /// # Errors
    /// A name that leaves the folder, or a full disk.
    pub fn stage(&self, name: &str) -> Result<StageDir, StoreError> {
        self.check_name(name)?;
        StageDir::begin(&self.root, name)
    }

    /// The folder of a finished stage with every byte checked; `None` where the stage was never finished.
    ///
    /// # Errors
    /// A stage that is there and not as it was written.
    pub fn completed(&self, name: &str, head: ManifestHead) -> Result<Option<VerifiedFolder>, StoreError> {
        self.check_name(name)?;
        let folder = self.root.join(name);
        // A folder without a manifest does not exist for readers.
        match fs::symlink_metadata(folder.join(MANIFEST_NAME)) {
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::read(&folder, source)),
            Ok(_) => Manifest::verify(&folder, head).map(Some),
        }
    }

    /// Begins a file at the top of the run folder, such as a report.
    ///
    /// # Errors
    /// A name that leaves the folder, or a full disk.
    pub fn file(&self, name: &str) -> Result<AtomicFile, StoreError> {
        self.check_name(name)?;
        AtomicFile::create(&self.root.join(name))
    }

    fn check_name(&self, name: &str) -> Result<(), StoreError> {
        if is_name_part(name) {
            return Ok(());
        }
        let expected = "letters, digits, `_`, `-` and `.`, not beginning with a dot";
        Err(StoreError::BadName { path: self.root.clone(), name: escape(name), expected })
    }

    /// Removes what a dead holder left unfinished, and puts back a stage whose exchange was cut in the middle.
    fn remove_orphans(&self) -> Result<(), StoreError> {
        for entry in entries(&self.root)? {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let path = entry.path();
            let fault = |source| StoreError::commit(&path, CommitPoint::Prune, source, 0);
            let lost = name.strip_prefix(OLD_PREFIX).map(|stage| self.root.join(stage)).filter(|stage| !stage.exists());
            if let Some(stage) = lost {
                fs::rename(&path, stage).map_err(fault)?;
            } else if name.starts_with(TEMP_PREFIX) || name.starts_with(OLD_PREFIX) {
                remove(&path).map_err(fault)?;
            }
        }
        sync_folder(&self.root).map_err(|source| StoreError::commit(&self.root, CommitPoint::SyncFolder, source, 0))
    }
}

fn entries(folder: &Path) -> Result<Vec<DirEntry>, StoreError> {
    let listing = fs::read_dir(folder).and_then(Iterator::collect);
    listing.map_err(|source| StoreError::commit(folder, CommitPoint::Lock, source, 0))
}

/// Refuses what is no folder, and a folder that holds something but not our marker.
fn refuse_foreign(root: &Path) -> Result<(), StoreError> {
    let kind = match fs::metadata(root) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|source| StoreError::commit(root, CommitPoint::Lock, source, 0))?.file_type(),
    };
    if !kind.is_dir() {
        return Err(StoreError::NotAFolder { path: root.to_path_buf(), found: kind_name(kind) });
    }
    // Killed before the marker was there, we leave a lock and perhaps an unfinished marker.
    let ours = |name: &str| name == LOCK_NAME || name.starts_with(TEMP_PREFIX);
    let mut names: Vec<_> =
        entries(root)?.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    // Asked after the listing: the marker that another process writes between the two would else be listed as foreign.
    if root.join(MARKER_NAME).is_file() {
        return Ok(());
    }
    names.sort();
    match names.iter().find(|name| !ours(name)) {
        Some(name) => Err(StoreError::Foreign { path: root.to_path_buf(), found: escape(name) }),
        None => Ok(()),
    }
}

/// Refuses a run folder that is, or lies in, the model folder: nothing is ever written beside the owner's weights.
fn refuse_inside(root: &Path, model: &Path) -> Result<(), StoreError> {
    if lies_inside(root, model) {
        return Err(StoreError::InsideModel { path: root.to_path_buf(), model: model.to_path_buf() });
    }
    Ok(())
}

/// True if `inner` is `outer` or lies in it, links resolved as far as the paths exist.
pub fn lies_inside(inner: &Path, outer: &Path) -> bool {
    resolve(inner).starts_with(resolve(outer))
}

/// The path with links and `..` resolved; parts that do not exist yet are taken as they are.
fn resolve(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut resolved = PathBuf::new();
    for part in absolute.components() {
        match part {
            std::path::Component::ParentDir => {
                resolved.pop();
            }
            other => resolved.push(other),
        }
        if let Ok(real) = fs::canonicalize(&resolved) {
            resolved = real;
        }
    }
    resolved
}

#[cfg(test)]
#[path = "run_dir_tests.rs"]
mod tests;
