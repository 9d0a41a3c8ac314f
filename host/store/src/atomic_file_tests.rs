//! Atomic files: whole or not at all, whatever fails.

use super::super::commit_point::injection::failing;
use super::*;
use crate::exit_code::{ExitCode, HasExitCode as _};
use proptest::prelude::*;
use std::io::ErrorKind;

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn replace(target: &Path, bytes: &[u8]) -> Result<FileRecord, StoreError> {
    let mut file = AtomicFile::create(target)?;
    file.put(bytes)?;
    file.commit()
}

#[test]
fn a_commit_replaces_the_file_and_tells_size_and_digest() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.txt");
    replace(&target, b"old").unwrap();
    let record = replace(&target, b"abc").unwrap();
    assert_eq!(record, FileRecord { name: "a.txt".into(), size: 3, sha256: Digest::of(b"abc") });
    assert_eq!(fs::read(&target).unwrap(), b"abc");
    assert_eq!(names_in(folder.path()), ["a.txt"]);
}

#[test]
fn a_dropped_file_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = AtomicFile::create(&folder.path().join("a.txt")).unwrap();
    file.put(b"half").unwrap();
    assert_eq!(names_in(folder.path()).len(), 1);
    drop(file);
    assert!(names_in(folder.path()).is_empty());
}

/// SQLite's loop: fail the N-th operation for every N until a commit succeeds unharmed.
#[test]
fn any_failing_step_leaves_the_old_file_and_no_leftovers() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.txt");
    let mut hit = Vec::new();
    for n in 0.. {
        replace(&target, b"old").unwrap();
        let (result, step) = failing(n, ErrorKind::StorageFull, || replace(&target, b"new"));
        let Some(step) = step else {
            result.unwrap();
            break;
        };
        let error = result.unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Resources);
        let message = error.to_string();
        assert!(message.contains("a.txt") && message.contains(step.name()), "{message}");
        assert!(message.contains("bytes needed") && message.contains("free)"), "{message}");
        // After the rename the new file is visible; only its survival of a power loss is unknown.
        let expected: &[u8] = if step == CommitPoint::SyncFolder { b"new" } else { b"old" };
        assert_eq!(fs::read(&target).unwrap(), expected, "{step}");
        assert_eq!(names_in(folder.path()), ["a.txt"], "{step}");
        hit.push(step);
    }
    use CommitPoint::*;
    assert_eq!(hit, [MakeTemp, Write, Flush, Sync, Verify, Rename, SyncFolder]);
}

#[test]
fn a_size_that_cannot_fit_is_refused_before_writing() {
    let folder = tempfile::tempdir().unwrap();
    let error = AtomicFile::create_sized(&folder.path().join("a.bin"), u64::MAX).err().unwrap().to_string();
    assert!(error.contains("a.bin: not written (store.mktemp): no storage space"), "{error}");
    assert!(error.contains("18446744073709551615 bytes needed"), "{error}");
    assert!(names_in(folder.path()).is_empty());
}

#[test]
fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("absent/a.txt");
    let error = AtomicFile::create(&target).err().unwrap();
    assert!(error.to_string().starts_with(&format!("{}: not written (store.mktemp): ", target.display())));
}

#[test]
fn the_mode_of_a_replaced_file_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.txt");
    replace(&target, b"old").unwrap();
    fs::set_permissions(&target, Permissions::from_mode(0o640)).unwrap();
    replace(&target, b"new").unwrap();
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o640);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_bytes_in_any_pieces_come_back(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..8)) {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.bin");
        let mut file = AtomicFile::create(&target).unwrap();
        for piece in &pieces {
            file.put(piece).unwrap();
        }
        let record = file.commit().unwrap();
        let whole = pieces.concat();
        prop_assert_eq!(record.sha256, Digest::of(&whole));
        prop_assert_eq!(fs::read(&target).unwrap(), whole);
    }
}
