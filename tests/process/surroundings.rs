//! Readers that leave, streams that are closed, folders that are not there: no panic, no words where they do not belong.

use behaviour::{finished_run, outcome, program::command, repository, scratch};
use std::process::{Command, Stdio};

/// Runs `scaleot LINE` in a shell, which may do to the streams what it likes.
fn shell(line: &str) -> (Option<i32>, String, String) {
    let program = format!("'{}'", behaviour::program().display());
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(format!("set -o pipefail; {}", line.replace("scaleot", &program)));
    let output = shell.current_dir(repository()).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

const TEXTS: [&str; 6] = [
    "config schema",
    // A config of which every key has an effect, so that there is nothing to notice.
    "plan configs/ci.toml importance.use=shortgpt/block-influence replace.use=shortgpt/layer-removal",
    "plugin list",
    "doctor",
    "completions bash",
    "--help",
];

/// The exit status of `scaleot LINE` with all its streams open: `doctor` of a checkout without the demo's model is not well.
fn verdict(line: &str) -> Option<i32> {
    let without_model = line == "doctor" && !repository().join(".assets/models/smollm2-135m-instruct").is_dir();
    Some(if without_model { 5 } else { 0 })
}

#[test]
fn a_reader_that_has_seen_enough_hears_no_complaint() {
    for line in TEXTS {
        let (code, stdout, stderr) = shell(&format!("scaleot {line} | head -1"));
        assert_eq!((code, stdout.lines().count(), stderr.as_str()), (verdict(line), 1, ""), "{line}");
    }
}

#[test]
fn streams_may_be_closed() {
    for line in TEXTS {
        for closed in [">&-", "2>&-", ">&- 2>&- <&-"] {
            assert_eq!(shell(&format!("scaleot {line} {closed} >/dev/null")).0, verdict(line), "{line} {closed}");
        }
    }
    assert_eq!(shell("scaleot frobnicate >&- 2>&-").0, Some(2));
    for line in TEXTS {
        let (code, _, stderr) = shell(&format!("scaleot {line} >/dev/full"));
        assert_eq!(code, Some(5), "{line}");
        assert!(stderr.starts_with("error: stdout: No space left"), "{line}: {stderr}");
    }
}

#[test]
fn a_run_needs_neither_home_nor_a_folder_for_temporary_files() {
    let folder = scratch();
    let run = folder.path().join("run");
    behaviour::copy(finished_run(), &run);
    std::fs::remove_dir_all(run.join("return")).unwrap();
    let mut tune = command(["tune", behaviour::CONFIG]);
    tune.args(behaviour::quick(&run)).env_remove("HOME").env_remove("XDG_DATA_HOME").env("TMPDIR", "/no/such/folder");
    outcome(&mut tune).expect(0);
    let mut remove = command(["plugin", "remove", "x", "--user"]);
    let stderr = outcome(remove.env_remove("HOME").env_remove("XDG_DATA_HOME")).expect(2).stderr;
    assert!(stderr.contains("neither XDG_DATA_HOME nor HOME names a folder"), "{stderr}");
}

#[test]
fn numbers_that_no_machine_has_do_not_overflow() {
    let numbers = ["tune.batch_size=1048576", "tune.accumulation=1048576"];
    let planned = outcome(command(["plan", behaviour::CONFIG, "--json"]).args(numbers)).expect(0).json();
    assert_eq!(planned["fits"], false);
    let advice = planned["advice"].as_array().unwrap();
    assert!(advice.iter().any(|line| line.as_str().unwrap().starts_with("tune.accumulation=")), "{advice:?}");
}
