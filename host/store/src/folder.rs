//! New folders that no manifest lists, such as an export: made visible whole, never over another; and their removal.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::atomic_file::{AtomicFile, TEMP_PREFIX, folder_of, sync_folder, write_file};
use super::commit_point::CommitPoint;
use super::error::StoreError;

/// A folder under construction; dropped before [`NewFolder::commit`], it leaves no trace.
#[derive(Debug)]
pub struct NewFolder {
    temp: TempDir,
    target: PathBuf,
}

impl NewFolder {
    /// Begins a folder that will be visible as `target` once committed.
    ///
    /// # Errors
    /// `Exists` where something is there already, or a parent folder that is missing or closed.
    pub fn begin(target: &Path) -> Result<Self, StoreError> {
        if target.symlink_metadata().is_ok() {
            return Err(StoreError::Exists { path: target.to_path_buf() });
        }
        let fault = |source| StoreError::commit(target, CommitPoint::MakeTemp, source, 0);
        CommitPoint::MakeTemp.pass().map_err(fault)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        // As for a new file: what the umask leaves. The library's own default would hide the folder from the group.
        let mode = Permissions::from_mode(0o777);
        let prefix = format!("{TEMP_PREFIX}{name}-");
        let made = tempfile::Builder::new().prefix(&prefix).permissions(mode).tempdir_in(folder_of(target));
        Ok(Self { temp: made.map_err(fault)?, target: target.to_path_buf() })
    }

    /// The path of the folder while it is being written; not the one that it will have.
    pub fn path(&self) -> &Path {
        self.temp.path()
    }

    /// Writes a file that lies in memory; `name` may hold `/`.
    ///
    /// # Errors
    /// A full disk.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        write_file(&self.place(name)?, bytes).map(drop)
    }

    /// Copies a file under `name`, which may hold `/`.
    ///
    /// # Errors
    /// A file that cannot be read, or a full disk.
    pub fn copy(&self, name: &str, from: &Path) -> Result<(), StoreError> {
        copy_file(from, &self.place(name)?)
    }

    /// Makes the folder visible.
    ///
    /// # Errors
    /// A folder with something in it that came meanwhile, or a disk that refuses.
    pub fn commit(self) -> Result<(), StoreError> {
        let Self { temp, target } = self;
        let fault = |step, source| StoreError::commit(&target, step, source, 0);
        sync_folder(temp.path()).map_err(|source| fault(CommitPoint::SyncFolder, source))?;
        // Over a folder that holds something, which came meanwhile, the system refuses a rename by itself.
        fs::rename(temp.path(), &target).map_err(|source| fault(CommitPoint::Rename, source))?;
        let _ = temp.keep();
        sync_folder(folder_of(&target)).map_err(|source| fault(CommitPoint::SyncFolder, source))
    }

    fn place(&self, name: &str) -> Result<PathBuf, StoreError> {
        let path = self.temp.path().join(name);
        make_folder(folder_of(&path))?;
        Ok(path)
    }
}

/// Writes a new folder with these files, whose names may hold `/`.
///
/// # Errors
/// `Exists` where something is there already; a place that is closed or full.
pub fn write_folder(target: &Path, files: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
    let folder = NewFolder::begin(target)?;
    files.iter().try_for_each(|(name, bytes)| folder.write(name, bytes))?;
    folder.commit()
}

/// Makes a folder and its parents, where they are not there yet.
///
/// # Errors
/// A place where no folder can be made.
pub fn make_folder(folder: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(folder).map_err(|source| StoreError::commit(folder, CommitPoint::MakeTemp, source, 0))
}

/// Copies the bytes of a file.
pub(super) fn copy_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut source = File::open(from).map_err(|error| StoreError::read(from, error))?;
    let mut file = AtomicFile::create(to)?;
    io::copy(&mut source, &mut file).map_err(|error| file.write_fault(error))?;
    file.commit().map(drop)
}

/// Takes a folder away: out of sight first, so that nobody finds half of it.
///
/// # Errors
/// A folder that cannot be renamed or removed.
pub fn remove_folder(target: &Path) -> Result<(), StoreError> {
    let fault = |source| StoreError::commit(target, CommitPoint::Prune, source, 0);
    let aside = begin_folder(target)?;
    fs::rename(target, aside.path().join("old")).map_err(fault)?;
    aside.close().map_err(fault)
}

/// The hidden folder that will be `target`.
pub(super) fn begin_folder(target: &Path) -> Result<TempDir, StoreError> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let make = || {
        CommitPoint::MakeTemp.pass()?;
        tempfile::Builder::new().prefix(&format!("{TEMP_PREFIX}{name}-")).tempdir_in(folder_of(target))
    };
    make().map_err(|source| StoreError::commit(target, CommitPoint::MakeTemp, source, 0))
}

/// Removes a file or a folder of ours.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    CommitPoint::Prune.pass()?;
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_written_whole_and_never_over_another() {
        let scratch = tempfile::tempdir().unwrap();
        let target = scratch.path().join("new");
        let files = [("a.txt".to_owned(), b"a".to_vec()), ("src/b.rs".to_owned(), b"b".to_vec())];
        write_folder(&target, &files).unwrap();
        assert_eq!(fs::read(target.join("src/b.rs")).unwrap(), b"b");
        let again = write_folder(&target, &files[..1]).unwrap_err();
        assert!(matches!(again, StoreError::Exists { .. }), "{again}");
        assert!(target.join("src/b.rs").exists());
        std::os::unix::fs::symlink("nowhere", scratch.path().join("link")).unwrap();
        assert!(write_folder(&scratch.path().join("link"), &files).is_err());
        remove_folder(&target).unwrap();
        let left: Vec<_> = fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["link"]);
    }
}
