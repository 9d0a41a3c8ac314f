//! ScaleOT through the built program: stage 1 resumes bit by bit and serves every choice of layers, fresh harmonizers are
//! LayerDrop, trained ones repair what it breaks, and the adapter does better in the full model than in the emulator.

use behaviour::{CONFIG, Outcome, identity, program::command, quick, scaleot, scratch};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const HARMONIZER: [&str; 3] =
    ["replace.use=scaleot/harmonizer", "replace.options.rank=8", "replace.options.regression_windows=8"];
const WARM: [&str; 1] = ["replace.options.warm_start=regression"];
const DYNAMIC: [&str; 4] = [
    "importance.use=scaleot/dynamic-layer-replace",
    "importance.options.steps=30",
    "importance.options.learning_rate=3e-3",
    "importance.checkpoint_every=2",
];

fn arguments(verb: &str, run: &Path, more: &[&[&str]]) -> Vec<String> {
    let mut arguments = vec![verb.to_owned(), CONFIG.to_owned()];
    arguments.extend(quick(run));
    arguments.extend(more.concat().iter().map(ToString::to_string));
    behaviour::each_key_once(arguments)
}

fn verb(name: &str, run: &Path, more: &[&[&str]]) -> Outcome {
    scaleot(arguments(name, run, more))
}

/// Runs importance until a checkpoint of this mark or a later one is there, then asks it to stop.
fn stopped_at(run: &Path, mark: u64, more: &[&[&str]]) {
    let child =
        command(arguments("importance", run, more)).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    let marked = || {
        let names = std::fs::read_dir(run).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let names = names.filter_map(|name| name.into_string().ok());
        let marks = names.filter_map(|name| name.strip_prefix("importance-checkpoint-")?.parse::<u64>().ok());
        marks.max().is_some_and(|newest| newest >= mark)
    };
    while !marked() {
        assert!(began.elapsed() < Duration::from_secs(60), "no checkpoint of mark {mark}");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{stderr}");
    assert!(!run.join("importance").exists());
}

#[test]
fn stage_one_stopped_anywhere_continues_bit_by_bit() {
    let folder = scratch();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let fit = ["replace.options.fit_passes=10", "replace.options.fit_windows=2"];
    let more: [&[&str]; 4] = [&HARMONIZER, &WARM, &fit, &DYNAMIC];
    verb("importance", &whole, &more).expect(0);
    // In the replacer's preparation, and twice in the estimator.
    for mark in [2, 14, 24] {
        stopped_at(&parts, mark, &more);
    }
    let outcome = verb("importance", &parts, &more).expect(0);
    assert!(outcome.stderr.contains("continuing from the checkpoint at step"), "{}", outcome.stderr);
    assert_eq!(identity(&parts.join("importance")), identity(&whole.join("importance")));
    let record: Value =
        serde_json::from_slice(&std::fs::read(parts.join("importance/importance.json")).unwrap()).unwrap();
    assert_eq!(record["scores"].as_array().unwrap().len(), 8);
    let steps = |curve: &str| record["curves"][curve]["steps"].as_array().unwrap().len();
    assert_eq!((steps("residuals"), steps("train_loss"), steps("scores")), (10, 30, 30));
}

#[test]
fn one_stage_one_serves_every_budget_and_choice() {
    let folder = scratch();
    let run = folder.path().join("run");
    let more: [&[&str]; 2] = [&HARMONIZER, &DYNAMIC];
    verb("importance", &run, &more).expect(0);
    let choices = ["replace.count=1", "adapter.layers=2", "replace.options.selection=per_group"];
    for choice in choices {
        let outcome = verb("importance", &run, &[&HARMONIZER, &DYNAMIC, &[choice]]).expect(0);
        assert!(outcome.stderr.contains("importance: up to date"), "{choice}: {}", outcome.stderr);
    }
    let outcome = verb("importance", &run, &[&HARMONIZER, &DYNAMIC, &["replace.options.rank=4"]]).expect(0);
    assert!(!outcome.stderr.contains("up to date"), "{}", outcome.stderr);
}

/// A figure of the table, on the text or the task.
fn figure(report: &Value, metric: &str, column: &str) -> f64 {
    let rows = report["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["metric"] == metric).unwrap();
    row["figures"][column]["mean"].as_f64().unwrap()
}

fn table(run: &Path, more: &[&[&str]]) -> Value {
    verb("run", run, &[&["--json"], &more.concat()]).expect(0).json()
}

#[test]
fn fresh_harmonizers_are_layer_drop() {
    let folder = scratch();
    let fresh = ["replace.options.selection=even", "public_data.text=[]"];
    let harmonized = table(&folder.path().join("harmonized"), &[&HARMONIZER, &fresh]);
    let dropped = table(&folder.path().join("dropped"), &[&["public_data.text=[]"]]);
    for column in ["emulator", "emulator_tuned", "plug_in"] {
        let both = [&harmonized, &dropped].map(|report| figure(report, "nll", column).to_bits());
        assert_eq!(both[0], both[1], "{column}");
    }
}

#[test]
fn trained_harmonizers_repair_what_layer_drop_breaks() {
    let folder = scratch();
    let gently = ["tune.steps=40", "tune.learning_rate=5e-4", "evaluate.limit=24", "evaluate.text=[]"];
    let ours = table(&folder.path().join("scaleot"), &[&HARMONIZER, &WARM, &DYNAMIC, &gently]);
    let dropped = table(&folder.path().join("dropped"), &[&gently]);
    let loss = |report: &Value, column: &str| figure(report, "answer_loss", column);
    assert!(loss(&ours, "zero_shot") < loss(&ours, "emulator"), "the emulator is weaker than the model: {ours:#}");
    assert!(loss(&ours, "emulator") < loss(&dropped, "emulator"), "harmonizers repair: {ours:#} {dropped:#}");
    assert!(loss(&ours, "emulator_tuned") < loss(&ours, "emulator"), "tuning works: {ours:#}");
    assert!(loss(&ours, "plug_in") < loss(&ours, "zero_shot"), "plug-in is worth it: {ours:#}");
    assert!(loss(&ours, "plug_in") < loss(&ours, "emulator_tuned"), "the gap is positive: {ours:#}");
}

#[test]
fn rounds_are_judged_on_a_batch_of_its_own_size() {
    let folder = scratch();
    let scores = |name: &str, judged: &[&str]| {
        let run = folder.path().join(name);
        let more: [&[&str]; 4] = [&HARMONIZER, &DYNAMIC, &["importance.batch_size=2"], judged];
        verb("importance", &run, &more).expect(0);
        let record = std::fs::read(run.join("importance/importance.json")).unwrap();
        serde_json::from_slice::<Value>(&record).unwrap()["scores"].clone()
    };
    let unsaid = scores("unsaid", &[]);
    assert_eq!(scores("the-same", &["importance.held_out_batch_size=2"]), unsaid);
    assert_ne!(scores("half", &["importance.held_out_batch_size=1"]), unsaid);
    let run = folder.path().join("none");
    let refused = verb("importance", &run, &[&HARMONIZER, &DYNAMIC, &["importance.held_out_batch_size=0"]]).expect(2);
    assert!(refused.stderr.contains("importance.held_out_batch_size"), "{}", refused.stderr);
}
