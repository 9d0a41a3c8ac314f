//! Finished stages that several run folders share: `<pool>/<stage>/<inputs>/`, by the digest of what a stage is made from.
//!
//! Rule: a stage is taken and given by hard links, copied where links fail, and checked to the last byte when taken; what does
//! not pass is removed and made again. A claim (`flock` on `<pool>/<stage>/.lock-<inputs>`) says who makes a stage.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::atomic_file::{TEMP_PREFIX, folder_of};
use super::commit_point::CommitPoint;
use super::error::StoreError;
use super::folder::{begin_folder, copy_file, make_folder, remove};
use super::manifest::{MANIFEST_NAME, Manifest, ManifestHead};
use super::run_dir::RunDir;
use super::stage_dir::{OLD_PREFIX, make_visible};
use super::verified::VerifiedFolder;

const LOCK_PREFIX: &str = ".lock-";

/// A folder of finished stages.
#[derive(Debug, Clone)]
pub struct StagePool {
    root: PathBuf,
}

/// The right to make one stage; others wait until it is dropped.
#[derive(Debug)]
pub struct Claim {
    stage: String,
    inputs: String,
    /// Holds the kernel's lock, which goes with the process however it ends.
    _lock: File,
}

impl Claim {
    /// Name of the stage's folder.
    pub fn stage(&self) -> &str {
        &self.stage
    }

    /// Digest of what the stage is made from.
    pub fn inputs(&self) -> &str {
        &self.inputs
    }
}

impl StagePool {
    /// The pool in `root`, which is made if it is not there.
    ///
    /// # Errors
    /// A place where no folder can be made.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        make_folder(root)?;
        Ok(Self { root: root.to_path_buf() })
    }

    /// Removes what dead runs left unfinished. Only for who knows that no run uses the pool now.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn prune(&self) -> Result<(), StoreError> {
        for stage in listing(&self.root)? {
            for path in listing(&stage)? {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if [TEMP_PREFIX, OLD_PREFIX, LOCK_PREFIX].iter().any(|prefix| name.starts_with(prefix)) {
                    remove(&path).map_err(|source| StoreError::commit(&path, CommitPoint::Prune, source, 0))?;
                }
            }
        }
        Ok(())
    }

    /// The right to make a stage; `None` while another process has it.
    ///
    /// # Errors
    /// A lock that cannot be made or asked.
    pub fn claim(&self, stage: &str, inputs: &str) -> Result<Option<Claim>, StoreError> {
        let path = self.stage(stage)?.join(format!("{LOCK_PREFIX}{inputs}"));
        let fault = |source| StoreError::commit(&path, CommitPoint::Lock, source, 0);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(fault)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Claim { stage: stage.to_owned(), inputs: inputs.to_owned(), _lock: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(fault(source)),
        }
    }

    /// Puts a stage of the pool into a run folder. `None` where the pool has none that is whole; a damaged one is told in `damaged`.
    ///
    /// # Errors
    /// A place that is closed, or a full disk.
    pub fn take(
        &self,
        run: &RunDir,
        stage: &str,
        head: ManifestHead,
        inputs: &str,
        damaged: &mut Vec<StoreError>,
    ) -> Result<Option<VerifiedFolder>, StoreError> {
        let from = self.stage(stage)?.join(inputs);
        if !from.join(MANIFEST_NAME).exists() {
            return Ok(None);
        }
        let target = run.path().join(stage);
        let checked = Manifest::read(&from, head).and_then(|found| {
            let temp = begin_folder(&target)?;
            link(&from, &found, temp.path())?;
            // What was linked is checked, so that nothing can come between check and use.
            let linked = Manifest::verify(temp.path(), head)?;
            make_visible(temp, &target)?;
            Ok(linked.with_path(&target))
        });
        match checked {
            Ok(taken) => Ok(Some(taken)),
            // A full disk is no damage.
            Err(fault @ StoreError::Commit { .. }) => Err(fault),
            Err(fault) => {
                damaged.push(fault);
                remove(&from).map_err(|source| StoreError::commit(&from, CommitPoint::Prune, source, 0))?;
                Ok(None)
            }
        }
    }

    /// Shares a finished stage of a run folder; one that the pool has already stays.
    ///
    /// # Errors
    /// A stage that is not finished, or a full disk.
    pub fn give(&self, run: &RunDir, stage: &str, inputs: &str) -> Result<(), StoreError> {
        let (from, target) = (run.path().join(stage), self.stage(stage)?.join(inputs));
        if target.join(MANIFEST_NAME).exists() {
            return Ok(());
        }
        let manifest = Manifest::of(&from)?;
        let temp = begin_folder(&target)?;
        link(&from, &manifest, temp.path())?;
        make_visible(temp, &target)
    }

    /// Path of a note about a stage that is no part of it, such as its costs.
    pub fn note(&self, stage: &str, inputs: &str) -> PathBuf {
        self.root.join(stage).join(format!("{inputs}.json"))
    }

    fn stage(&self, stage: &str) -> Result<PathBuf, StoreError> {
        let folder = self.root.join(stage);
        make_folder(&folder)?;
        Ok(folder)
    }
}

/// Gives the files of a stage's folder a second name in `to`.
fn link(from: &Path, manifest: &Manifest, to: &Path) -> Result<(), StoreError> {
    for name in manifest.files.keys().map(String::as_str).chain([MANIFEST_NAME]) {
        let (source, target) = (from.join(name), to.join(name));
        make_folder(folder_of(&target))?;
        // Another file system, or one without links.
        if fs::hard_link(&source, &target).is_err() {
            copy_file(&source, &target)?;
        }
    }
    Ok(())
}

fn listing(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|source| StoreError::read(folder, source))?;
    Ok(entries.into_iter().map(|entry| entry.path()).collect())
}

#[cfg(test)]
#[path = "stage_pool_tests.rs"]
mod tests;
