//! The digest of a stage: the settings that change it and those that do not. This alone decides what runs may share.

use super::support::inputs;
use behaviour::{repository, scratch, verb};
use std::path::Path;

/// Folders whose manifests name their inputs.
const FOLDERS: [&str; 5] = ["importance", "replace", "ledger", "tuning", "evaluate-zero-shot"];
const SHORT: [&str; 3] = ["tune.steps=2", "evaluate.text=[]", "evaluate.columns=[\"zero_shot\"]"];

fn digests(overrides: &[&str]) -> Vec<String> {
    let folder = scratch();
    let all = [&SHORT[..], overrides].concat();
    verb("run", folder.path(), &all).expect(0);
    FOLDERS.iter().map(|stage| inputs(folder.path(), stage)).collect()
}

/// The folders whose digest an override changes.
fn changed(plain: &[String], overrides: &[&str]) -> Vec<&'static str> {
    let other = digests(overrides);
    FOLDERS.into_iter().enumerate().filter(|(at, _)| plain[*at] != other[*at]).map(|(_, name)| name).collect()
}

#[test]
fn a_digest_feels_what_its_result_depends_on_and_nothing_else() {
    let plain = digests(&[]);
    let none: [&str; 0] = [];
    // The tuning's seed is the tuning's matter; the run's own seed written there again is the same seed.
    assert_eq!(changed(&plain, &["tune.seed=7"]), ["tuning"]);
    assert_eq!(changed(&plain, &["tune.seed=42"]), none);
    assert_eq!(changed(&plain, &["seed=7", "tune.seed=42"]), ["importance", "replace", "ledger"]);
    assert_eq!(changed(&plain, &["tune.checkpoint_every=1"]), none);
    assert_eq!(changed(&plain, &["data.train_limit=5"]), ["tuning"]);
    // How many layers give way is not the scores' matter.
    assert_eq!(changed(&plain, &["replace.count=1"]), ["replace", "ledger", "tuning"]);
    // Columns are evaluated one by one; which others there are changes none. The task of `data` is that of `evaluate`.
    assert_eq!(changed(&plain, &["evaluate.columns=[\"zero_shot\",\"emulator\"]"]), none);
    assert_eq!(changed(&plain, &["evaluate.tasks=[\"arc_easy\"]"]), none);
    assert_eq!(changed(&plain, &["evaluate.limit=5"]), ["evaluate-zero-shot"]);
    assert_eq!(changed(&plain, &["evaluate.split=validation"]), ["evaluate-zero-shot"]);
}

#[test]
fn files_count_by_content_wherever_they_lie() {
    let plain = digests(&[]);
    let folder = scratch();
    let tasks = folder.path().join("tasks");
    behaviour::copy(&repository().join("tests/fixtures/tasks"), &tasks);
    let text = folder.path().join("public.txt");
    std::fs::copy(repository().join("tests/fixtures/text/hellaswag-train.txt"), &text).unwrap();
    let moved = [format!("data.folder={}", tasks.display()), format!("public_data.text=[\"{}\"]", text.display())];
    let moved: Vec<&str> = moved.iter().map(String::as_str).collect();
    assert_eq!(changed(&plain, &moved), [""; 0]);
    let spoil = |path: &Path, from: &str| {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(from), "{}", path.display());
        std::fs::write(path, text.replacen(from, "Whatever", 1)).unwrap();
    };
    let first_word = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        text.split_whitespace().find(|word| word.len() > 3 && word.chars().all(char::is_alphabetic)).unwrap().to_owned()
    };
    spoil(&text, &first_word(&text));
    assert_eq!(changed(&plain, &moved[1..]), ["importance", "replace", "ledger"]);
    let questions = tasks.join("arc_easy/test.jsonl");
    let word = first_word(&questions);
    spoil(&questions, &word);
    assert_eq!(changed(&plain, &moved[..1]), ["evaluate-zero-shot"]);
}
