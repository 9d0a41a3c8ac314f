//! The watcher: what it costs, passes on, and leaves behind.

use super::cases::Case;
use behaviour::{Outcome, identity, misbehaving_plugin, program::command, scratch, verb};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ADAPTER: &str = "adapter.use=test-misbehaving/adapter";

fn with_plugin(name: &str, run: &Path, more: &[&str]) -> Outcome {
    let path = ["--plugin-path", misbehaving_plugin().to_str().unwrap()];
    verb(name, run, &[&path[..], more].concat())
}

#[test]
fn after_a_crash_the_same_command_continues_from_what_is_finished() {
    let folder = scratch();
    let run = folder.path().join("run");
    let crash =
        Case::new("", 4, "run", &[ADAPTER, "adapter.options={ fault = \"segfault\", at = \"step\" }"]).run(&run);
    let stderr = String::from_utf8_lossy(&crash.stderr);
    assert_eq!(crash.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains("in stage tune") && stderr.contains("SIGSEGV"), "{stderr}");
    // Another option is another adapter, but scores, plan and bundle are the same.
    let again = with_plugin("run", &run, &[ADAPTER]).expect(0);
    for stage in ["importance", "replace", "bundle"] {
        assert!(again.stderr.contains(&format!("{stage}: up to date")), "{}", again.stderr);
    }
}

#[test]
fn watched_or_not_a_run_gives_the_same_bytes() {
    let folder = scratch();
    let stages = ["importance", "bundle", "return"];
    let identities = ["process", "none"].map(|isolation| {
        let run = folder.path().join(isolation);
        with_plugin("run", &run, &[ADAPTER, "tune.steps=2", &format!("plugins.isolation={isolation}")]).expect(0);
        stages.map(|stage| identity(&run.join(stage)))
    });
    assert_eq!(identities[0], identities[1]);
}

#[test]
fn without_a_watcher_there_is_no_limit_to_set() {
    let folder = scratch();
    let more = ["plugins.isolation=none", "plugins.call_timeout_s=5"];
    let outcome = verb("run", &folder.path().join("run"), &more).expect(2);
    let expected = "key `plugins.call_timeout_s`: found 5, expected 0, because plugins.isolation is \"none\"";
    assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
}

#[test]
fn a_limit_is_on_silence_and_not_on_work() {
    let folder = scratch();
    // Many steps, each of which asks the host: longer than the limit in all.
    let more = [ADAPTER, "tune.steps=60", "tune.evaluate_every=60", "plugins.call_timeout_s=1"];
    let began = Instant::now();
    with_plugin("run", &folder.path().join("run"), &more).expect(0);
    assert!(began.elapsed() > Duration::from_secs(1), "too short to show anything");
}

#[test]
fn a_worker_does_not_outlive_its_watcher_and_a_loop_ends_at_the_second_signal() {
    let folder = scratch();
    let library = misbehaving_plugin().display().to_string();
    let hang = |run: &Path| {
        let mut arguments = vec!["importance".to_owned(), behaviour::CONFIG.to_owned()];
        arguments.extend(behaviour::quick(run));
        arguments.extend(
            ["importance.use=test-misbehaving/estimator", "importance.options={ fault = \"loop\" }"].map(str::to_owned),
        );
        arguments.extend(["--plugin-path".to_owned(), library.clone()]);
        let child = command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let began = Instant::now();
        // The lock names the worker as soon as it has it.
        while std::fs::read_to_string(run.join(".lock")).map_or(true, |text| text.is_empty()) {
            assert!(began.elapsed() < Duration::from_secs(30), "no lock");
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(500));
        child
    };
    let signal = |id: u32, name: &str| Command::new("kill").args([name, &id.to_string()]).status().unwrap();
    let run = folder.path().join("killed");
    let mut child = hang(&run);
    child.kill().unwrap();
    child.wait().unwrap();
    with_plugin("importance", &run, &[]).expect(0);
    let run = folder.path().join("asked");
    let child = hang(&run);
    signal(child.id(), "-TERM");
    std::thread::sleep(Duration::from_millis(500));
    signal(child.id(), "-TERM");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    with_plugin("importance", &run, &[]).expect(0);
}
