//! A pool shares by link, notices damage, and lets one process at a time make a stage.

use super::*;
use std::os::unix::fs::MetadataExt as _;

const HEAD: ManifestHead = ManifestHead { format: "test/stage", version: 1 };

struct Pair {
    root: tempfile::TempDir,
    pool: StagePool,
    one: RunDir,
    other: RunDir,
}

fn pair() -> Pair {
    let root = tempfile::tempdir().unwrap();
    let pool = StagePool::open(&root.path().join("stages")).unwrap();
    let run = |name: &str| RunDir::open(&root.path().join(name), None).unwrap();
    let (one, other) = (run("one"), run("other"));
    let mut stage = one.stage("importance").unwrap();
    stage.write_bytes("deep/scores.bin", b"scores").unwrap();
    stage.commit(HEAD, &serde_json::json!({ "inputs": "abc" })).unwrap();
    pool.give(&one, "importance", "abc").unwrap();
    Pair { root, pool, one, other }
}

fn inode(run: &RunDir) -> u64 {
    fs::metadata(run.path().join("importance/deep/scores.bin")).unwrap().ino()
}

#[test]
fn what_one_run_gives_another_takes_without_a_copy() {
    let Pair { root: _root, pool, one, other } = pair();
    let mut damaged = Vec::new();
    assert!(pool.take(&other, "importance", HEAD, "abd", &mut damaged).unwrap().is_none());
    let taken = pool.take(&other, "importance", HEAD, "abc", &mut damaged).unwrap().unwrap();
    assert_eq!(fs::read(taken.file("deep/scores.bin").unwrap()).unwrap(), b"scores");
    assert_eq!(inode(&one), inode(&other));
    assert!(damaged.is_empty());
    // A newer stage of the run takes the name; the pool and the other run keep what they have.
    let mut stage = other.stage("importance").unwrap();
    stage.write_bytes("deep/scores.bin", b"others").unwrap();
    stage.commit(HEAD, &serde_json::json!({ "inputs": "abd" })).unwrap();
    assert_eq!(fs::read(one.path().join("importance/deep/scores.bin")).unwrap(), b"scores");
    assert!(one.completed("importance", HEAD).unwrap().is_some());
}

#[test]
fn a_damaged_stage_is_removed_and_told() {
    let Pair { root, pool, one, other } = pair();
    // A file of its own: what is linked would change in the run that gave it, too.
    let path = root.path().join("stages/importance/abc/deep/scores.bin");
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"scoret").unwrap();
    let mut damaged = Vec::new();
    assert!(pool.take(&other, "importance", HEAD, "abc", &mut damaged).unwrap().is_none());
    assert!(damaged.first().unwrap().to_string().contains("found SHA-256"), "{damaged:?}");
    assert!(!other.path().join("importance").exists() && !root.path().join("stages/importance/abc").exists());
    pool.give(&one, "importance", "abc").unwrap();
    assert!(pool.take(&other, "importance", HEAD, "abc", &mut damaged).unwrap().is_some());
}

#[test]
fn one_at_a_time_makes_a_stage() {
    let Pair { root: _root, pool, .. } = pair();
    let claim = pool.claim("tune", "abc").unwrap().unwrap();
    assert!(pool.claim("tune", "abc").unwrap().is_none());
    assert!(pool.claim("tune", "abd").unwrap().is_some());
    drop(claim);
    assert!(pool.claim("tune", "abc").unwrap().is_some());
}

#[test]
fn pruning_leaves_finished_stages_alone() {
    let Pair { root, pool, other, .. } = pair();
    drop(pool.claim("importance", "abc").unwrap());
    fs::create_dir(root.path().join("stages/importance/.tmp-abd-1")).unwrap();
    pool.prune().unwrap();
    let names: Vec<_> = listing(&root.path().join("stages/importance")).unwrap();
    assert_eq!(names, [root.path().join("stages/importance/abc")]);
    assert!(pool.take(&other, "importance", HEAD, "abc", &mut Vec::new()).unwrap().is_some());
}
