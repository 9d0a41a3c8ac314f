//! Run folders: one holder, nothing half-visible, nothing of others touched.

use super::super::commit_point::injection::failing;
use super::*;
use crate::exit_code::{ExitCode, HasExitCode as _};
use std::sync::{Arc, Barrier};
use tempfile::TempDir;

const HEAD: ManifestHead = ManifestHead { format: "test/stage", version: 1 };

fn temp() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        entries(folder).unwrap().iter().map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn refused(base: &TempDir, root: &Path, model: Option<&Path>) -> (String, ExitCode) {
    let error = RunDir::open(root, model).expect_err("the run folder must be refused");
    (error.to_string().replace(&format!("{}/", base.path().display()), ""), error.exit_code())
}

fn write_stage(run: &RunDir, bytes: &[u8]) -> Result<(), StoreError> {
    let mut stage = run.stage("tune")?;
    stage.write_bytes("inner/a.bin", bytes)?;
    stage.commit(HEAD, &bytes.len()).map(|_| ())
}

fn stage_bytes(run: &RunDir) -> Option<Vec<u8>> {
    let folder = run.completed("tune", HEAD).unwrap()?;
    Some(fs::read(folder.file("inner/a.bin").unwrap()).unwrap())
}

#[test]
fn a_stage_is_visible_whole_and_replaced_whole() {
    let base = temp();
    let run = RunDir::open(&base.path().join("deep/run"), None).unwrap();
    assert!(run.completed("tune", HEAD).unwrap().is_none());
    let unfinished = run.stage("tune").unwrap();
    assert!(run.completed("tune", HEAD).unwrap().is_none());
    drop(unfinished);
    write_stage(&run, b"one").unwrap();
    assert_eq!(stage_bytes(&run).unwrap(), b"one");
    write_stage(&run, b"second").unwrap();
    assert_eq!(stage_bytes(&run).unwrap(), b"second");
    assert_eq!(names_in(run.path()), [".lock", "scaleot-run.json", "tune"]);
}

#[test]
fn a_damaged_stage_is_named() {
    let base = temp();
    let run = RunDir::open(&base.path().join("run"), None).unwrap();
    write_stage(&run, b"one").unwrap();
    fs::write(run.path().join("tune/inner/a.bin"), b"two").unwrap();
    let error = run.completed("tune", HEAD).unwrap_err();
    assert!(error.to_string().contains("tune/inner/a.bin: found SHA-256"), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Refused);
}

#[test]
fn a_file_that_nobody_listed_stops_the_commit() {
    let base = temp();
    let run = RunDir::open(&base.path().join("run"), None).unwrap();
    let stage = run.stage("tune").unwrap();
    fs::write(stage.path().join("stray"), b"").unwrap();
    let error = stage.commit(HEAD, &()).unwrap_err().to_string();
    assert!(error.ends_with("/stray: not listed in the manifest; a verified folder holds nothing else"), "{error}");
    assert_eq!(names_in(run.path()), [".lock", "scaleot-run.json"]);
}

/// Fail the N-th operation for every N: a reader finds the old stage or the new one, never neither, never a leftover.
#[test]
fn any_failing_step_leaves_one_whole_stage() {
    let base = temp();
    let root = base.path().join("run");
    let mut run = RunDir::open(&root, None).unwrap();
    for n in 0.. {
        write_stage(&run, b"old").unwrap();
        let (result, step) = failing(n, io::ErrorKind::PermissionDenied, || write_stage(&run, b"new"));
        // A new process finds the folder as a killed one left it.
        drop(run);
        run = RunDir::open(&root, None).unwrap();
        let bytes = stage_bytes(&run).unwrap();
        assert!(bytes == b"old" || bytes == b"new", "{step:?}");
        assert_eq!(names_in(&root), [".lock", "scaleot-run.json", "tune"], "{step:?}");
        if step.is_none() {
            result.unwrap();
            assert_eq!(bytes, b"new");
            assert!(n > 15, "{n} points were passed");
            return;
        }
        assert_eq!(result.unwrap_err().exit_code(), ExitCode::Resources, "{step:?}");
    }
}

#[test]
fn what_a_killed_process_left_is_cleaned_or_put_back() {
    let base = temp();
    let root = base.path().join("run");
    let run = RunDir::open(&root, None).unwrap();
    write_stage(&run, b"old").unwrap();
    drop(run);
    fs::rename(root.join("tune"), root.join(".old-tune")).unwrap();
    fs::create_dir(root.join(".tmp-tune-x1")).unwrap();
    fs::write(root.join(".tmp-tune-x1/a.bin"), b"half").unwrap();
    fs::write(root.join(".lock"), "process 999999999\n").unwrap();
    let run = RunDir::open(&root, None).unwrap();
    assert_eq!(run.taken_over_from(), Some("process 999999999"));
    assert_eq!(stage_bytes(&run).unwrap(), b"old");
    assert_eq!(names_in(&root), [".lock", "scaleot-run.json", "tune"]);
}

#[test]
fn a_run_killed_before_its_marker_is_taken_up() {
    let base = temp();
    let root = base.path().join("run");
    fs::create_dir(&root).unwrap();
    fs::write(root.join(".lock"), "process 999999999\n").unwrap();
    fs::write(root.join(".tmp-abc"), "").unwrap();
    let run = RunDir::open(&root, None).unwrap();
    assert_eq!(names_in(run.path()), [".lock", "scaleot-run.json"]);
}

#[test]
fn a_file_or_a_foreign_folder_is_refused_and_left_alone() {
    let base = temp();
    let file = base.path().join("file");
    fs::write(&file, "x").unwrap();
    let expected = "file: found a regular file, expected a folder".to_owned();
    assert_eq!(refused(&base, &file, None), (expected, ExitCode::Resources));

    let folder = base.path().join("thesis");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("chapter.tex"), "x").unwrap();
    let expected =
        "thesis: not empty and not a run folder (found `chapter.tex`); choose an empty or new folder as output";
    assert_eq!(refused(&base, &folder, None), (expected.to_owned(), ExitCode::Resources));
    assert_eq!(names_in(&folder), ["chapter.tex"]);
}

#[test]
fn a_run_folder_in_the_model_folder_is_refused() {
    let base = temp();
    let model = base.path().join("model");
    fs::create_dir(&model).unwrap();
    std::os::unix::fs::symlink(&model, base.path().join("link")).unwrap();
    for root in ["model", "model/run", "link/run", "model/sub/../run"] {
        let root = base.path().join(root);
        let (message, code) = refused(&base, &root, Some(&model));
        assert!(message.ends_with("model; choose an output outside it"), "{message}");
        assert_eq!(code, ExitCode::Usage);
    }
    assert!(names_in(&model).is_empty());
    RunDir::open(&base.path().join("model-run"), Some(&model)).unwrap();
}

#[test]
fn one_of_a_hundred_starts_wins_and_the_rest_name_it() {
    let base = temp();
    let root = base.path().join("run");
    let barrier = Arc::new(Barrier::new(100));
    let starts: Vec<_> = (0..100)
        .map(|_| {
            let (root, barrier) = (root.clone(), Arc::clone(&barrier));
            std::thread::spawn(move || {
                barrier.wait();
                let result = RunDir::open(&root, None);
                barrier.wait();
                result.map(|_| ())
            })
        })
        .collect();
    let results: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!(error.exit_code(), ExitCode::Resources);
        let message = error.to_string();
        let holder = [format!("process {}", std::process::id()), "another process".to_owned()];
        assert!(holder.iter().any(|holder| message.contains(&format!("in use by {holder}; "))), "{message}");
    }
    RunDir::open(&root, None).unwrap();
}

#[test]
fn a_stage_name_that_leaves_the_folder_is_refused() {
    let base = temp();
    let run = RunDir::open(&base.path().join("run"), None).unwrap();
    for name in ["", "..", "a/b", ".lock", "/tmp"] {
        let message = run.stage(name).unwrap_err().to_string();
        assert!(message.contains(&format!("found the name `{name}`, expected letters")), "{message}");
    }
    let message = run.stage("a").unwrap().write_bytes("../x", b"").unwrap_err().to_string();
    assert!(message.contains("found the name `../x`, expected a relative name"), "{message}");
}

#[test]
fn a_read_only_parent_is_named() {
    // A file system that nobody may write to, whoever runs the test.
    let error = RunDir::open(Path::new("/proc/scaleot-run"), None).unwrap_err();
    assert!(error.to_string().starts_with("/proc/scaleot-run: not written (store.lock): "), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Resources);
}

#[test]
fn readers_share_a_run_and_keep_writers_out() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("run");
    drop(RunDir::open(&root, None).unwrap());
    let (one, another) = (RunDir::open_to_read(&root).unwrap(), RunDir::open_to_read(&root).unwrap());
    assert!(matches!(RunDir::open(&root, None), Err(StoreError::Locked { .. })));
    drop((one, another));
    let writer = RunDir::open(&root, None).unwrap();
    let refused = RunDir::open_to_read(&root).unwrap_err().to_string();
    assert!(refused.contains(&format!("in use by process {}", std::process::id())), "{refused}");
    drop(writer);
    // An archive may have lost its lock; another's folder is no run.
    fs::remove_file(root.join(".lock")).unwrap();
    assert!(RunDir::open_to_read(&root).is_ok());
    assert!(!root.join(".lock").exists());
    fs::write(scratch.path().join("notes.txt"), "hello").unwrap();
    assert!(matches!(RunDir::open_to_read(scratch.path()), Err(StoreError::Foreign { .. })));
}

#[test]
fn a_stage_that_its_check_refuses_leaves_no_trace() {
    let scratch = temp();
    let run = RunDir::open(&scratch.path().join("run"), None).unwrap();
    let write = |text: &str| {
        let mut stage = run.stage("bundle").unwrap();
        stage.write_bytes("a.txt", text.as_bytes()).unwrap();
        // The check sees the folder whole, as its reader will.
        stage.commit_checked(HEAD, &serde_json::json!({}), |staged| match fs::read(staged.file("a.txt")?).unwrap() {
            bytes if bytes == b"good" => Ok(()),
            _ => Err(StoreError::ExtraFile { path: "refused".into() }),
        })
    };
    assert!(write("bad").is_err());
    let before = names_in(run.path());
    assert!(!before.iter().any(|name| name.contains("bundle")), "{before:?}");
    write("good").unwrap();
    assert!(matches!(write("bad"), Err(StoreError::ExtraFile { .. })));
    assert_eq!(fs::read(run.completed("bundle", HEAD).unwrap().unwrap().file("a.txt").unwrap()).unwrap(), b"good");
    assert_eq!(names_in(run.path()).len(), before.len() + 1);
}
