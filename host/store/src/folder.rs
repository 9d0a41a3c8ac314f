//! A folder of a few files that lie in memory: made visible whole, never over another; and taken away at once.

use std::fs;
use std::path::Path;

use super::atomic_file::{AtomicFile, folder_of, sync_folder};
use super::error::StoreError;
use super::stage_dir::{begin_folder, readable};
use super::step::Step;

/// Writes a new folder with these files, whose names may hold `/`.
///
/// # Errors
/// `Exists` where something is there already, and what the disk says.
pub fn write_folder(target: &Path, files: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
    let fault = |step| move |source| StoreError::commit(target, step, source, 0);
    if target.symlink_metadata().is_ok() {
        return Err(StoreError::Exists { path: target.to_path_buf() });
    }
    let temp = begin_folder(target)?;
    for (name, bytes) in files {
        let path = temp.path().join(name);
        fs::create_dir_all(folder_of(&path)).map_err(fault(Step::MakeTemp))?;
        let mut file = AtomicFile::create(&path)?;
        file.put(bytes)?;
        file.commit()?;
    }
    sync_folder(temp.path()).map_err(fault(Step::SyncFolder))?;
    readable(temp.path()).map_err(fault(Step::Rename))?;
    // Over a folder that holds something, which came meanwhile, the system refuses a rename by itself.
    fs::rename(temp.path(), target).map_err(fault(Step::Rename))?;
    let _ = temp.keep();
    sync_folder(folder_of(target)).map_err(fault(Step::SyncFolder))
}

/// Takes a folder away: out of sight first, so that nobody finds half of it.
///
/// # Errors
/// What the disk says.
pub fn remove_folder(target: &Path) -> Result<(), StoreError> {
    let fault = |source| StoreError::commit(target, Step::Prune, source, 0);
    let aside = begin_folder(target)?;
    fs::rename(target, aside.path().join("old")).map_err(fault)?;
    aside.close().map_err(fault)
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
