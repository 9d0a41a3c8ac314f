//! Stopped at any moment, the same command continues, and the result is bit for bit that of a run that was never stopped.

use behaviour::{CONFIG, copy, finished_run, identity, program::command, quick, scratch, verb};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A tuning long enough to be stopped in the middle.
const LONG: [&str; 3] = ["tune.steps=60", "tune.checkpoint_every=3", "tune.evaluate_every=20"];

/// A run folder that is ready to tune.
fn ready(folder: &Path) -> PathBuf {
    let run = folder.join("run");
    copy(finished_run(), &run);
    for stage in ["return", "plug_in"] {
        std::fs::remove_dir_all(run.join(stage)).unwrap();
    }
    run
}

fn tune(run: &Path) -> Child {
    tune_with(run, &[])
}

fn tune_with(run: &Path, more: &[&str]) -> Child {
    let mut arguments = vec!["tune".to_owned(), CONFIG.to_owned()];
    arguments.extend(quick(run));
    arguments.extend(LONG.iter().chain(more).map(ToString::to_string));
    command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The identity of a return whose tuning nobody stopped.
fn uninterrupted() -> &'static str {
    static IDENTITY: OnceLock<String> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let folder = scratch();
        let run = ready(folder.path());
        verb("tune", &run, &LONG).expect(0);
        identity(&run.join("return"))
    })
}

fn checkpoints(run: &Path) -> Vec<String> {
    let names = std::fs::read_dir(run).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("tune-checkpoint-")).collect()
}

/// Waits until a checkpoint of this step or a later one is there.
fn wait_for_checkpoint(run: &Path, step: u64) {
    let began = Instant::now();
    let there = |name: &String| name.rsplit('-').next().and_then(|n| n.parse::<u64>().ok()).is_some_and(|n| n >= step);
    while !checkpoints(run).iter().any(there) {
        assert!(began.elapsed() < Duration::from_secs(60), "no checkpoint of step {step}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn end(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Continues, and compares with the run that was never stopped.
#[track_caller]
fn continues(run: &Path) -> String {
    let outcome = verb("tune", run, &LONG).expect(0);
    assert_eq!(identity(&run.join("return")), uninterrupted());
    assert_eq!(checkpoints(run), Vec::<String>::new());
    let names = std::fs::read_dir(run).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names.filter(|name| name.starts_with(".tmp-") || name.starts_with(".old-")).collect();
    assert_eq!(left, Vec::<String>::new());
    outcome.stderr
}

/// The signal mask of each thread of a process, as the kernel tells it.
fn masks(child: &Child) -> Vec<u64> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    let status = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).ok());
    let mask = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:").map(str::trim).map(str::to_owned));
        u64::from_str_radix(&line.unwrap(), 16).unwrap()
    };
    status.map(mask).collect()
}

#[test]
fn one_thread_alone_hears_the_signals() {
    let folder = scratch();
    let run = ready(folder.path());
    // Without a watcher the process that is started is the one that works.
    let child = tune_with(&run, &["plugins.isolation=none"]);
    wait_for_checkpoint(&run, 3);
    // SIGHUP, SIGINT and SIGTERM are the signals 1, 2 and 15.
    let stops = 1_u64 | 1 << 1 | 1 << 14;
    let masks = masks(&child);
    signal(&child, "-TERM");
    assert_eq!(end(child).0, Some(7));
    let hears = |mask: &&u64| **mask & stops == 0;
    let deaf = |mask: &&u64| **mask & stops == stops;
    assert_eq!(masks.iter().filter(hears).count(), 1, "{masks:x?}");
    assert_eq!(masks.iter().filter(deaf).count(), masks.len() - 1, "{masks:x?}");
    assert!(masks.len() > 1);
}

#[test]
fn a_polite_stop_is_exit_7_and_the_same_command_continues() {
    for name in ["-TERM", "-INT"] {
        let folder = scratch();
        let run = ready(folder.path());
        let child = tune(&run);
        wait_for_checkpoint(&run, 6);
        signal(&child, name);
        let (code, stderr) = end(child);
        assert_eq!(code, Some(7), "{stderr}");
        assert!(stderr.contains("the same command continues from there"), "{stderr}");
        assert!(!run.join("return").exists());
        assert!(continues(&run).contains("continuing from the checkpoint at step"));
    }
}

#[test]
fn a_kill_loses_at_most_one_interval() {
    let folder = scratch();
    let run = ready(folder.path());
    // Three kills of one tuning, each at another place.
    for step in [3, 18, 30] {
        let mut child = tune(&run);
        wait_for_checkpoint(&run, step);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!run.join("return").exists());
    }
    assert!(continues(&run).contains("continuing from the checkpoint at step"));
}

#[test]
fn a_second_signal_stops_at_once_and_damages_nothing() {
    let folder = scratch();
    let run = ready(folder.path());
    let child = tune(&run);
    wait_for_checkpoint(&run, 6);
    signal(&child, "-TERM");
    // The program may be gone already, which is as well.
    let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).stderr(Stdio::null()).status();
    assert_eq!(end(child).0, Some(7));
    continues(&run);
}

#[test]
fn a_damaged_checkpoint_is_left_aside() {
    let folder = scratch();
    let run = ready(folder.path());
    let child = tune(&run);
    wait_for_checkpoint(&run, 9);
    signal(&child, "-TERM");
    assert_eq!(end(child).0, Some(7));
    let mut names = checkpoints(&run);
    names.sort_by_key(|name| name.rsplit('-').next().and_then(|n| n.parse::<u64>().ok()));
    let newest = run.join(names.last().unwrap()).join("state.safetensors");
    let mut bytes = std::fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    let stderr = continues(&run);
    assert!(stderr.contains("a damaged checkpoint is left aside"), "{stderr}");
}

#[test]
fn a_changed_config_starts_over_and_says_what_changed() {
    let folder = scratch();
    let run = ready(folder.path());
    let child = tune(&run);
    wait_for_checkpoint(&run, 3);
    signal(&child, "-TERM");
    assert_eq!(end(child).0, Some(7));
    let other = [&LONG[..], &["tune.learning_rate=1e-4"]].concat();
    let stderr = verb("tune", &run, &other).expect(0).stderr;
    assert!(stderr.contains("`tune.learning_rate` was 0.001, is 0.0001"), "{stderr}");
    assert!(stderr.contains("the checkpoint of the earlier run is not used"), "{stderr}");
}

#[test]
fn two_runs_cannot_share_a_folder() {
    let folder = scratch();
    let run = ready(folder.path());
    let child = tune(&run);
    wait_for_checkpoint(&run, 3);
    let outcome = verb("tune", &run, &LONG).expect(5);
    assert!(outcome.stderr.contains("is in use by"), "{}", outcome.stderr);
    assert_eq!(end(child).0, Some(0));
    assert_eq!(identity(&run.join("return")), uninterrupted());
}
