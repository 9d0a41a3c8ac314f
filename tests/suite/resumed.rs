//! A suite that was stopped goes on; a cell that fails takes no other with it.

use super::support::Suite;
use behaviour::identity_of_stages;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const SEEDS: &str = "seeds = [0, 1, 2]\n[[method]]\nname = \"uniform\"\nconfig = \"METHOD\"\n";
/// The second learning rate blows up: its cells end with a number that is not finite.
const BROKEN: &str = "seeds = [0]\n\
    [[method]]\nname = \"good\"\nconfig = \"METHOD\"\n\
    [[method]]\nname = \"broken\"\nconfig = \"METHOD\"\n\
    set = [\"tune.learning_rate=1e3\", \"tune.clip_norm=0.0\", \"model.dtype=fp16\"]\n\
    [[method]]\nname = \"other\"\nconfig = \"METHOD\"\nset = [\"replace.count=1\"]\n";

fn start(suite: &Suite) -> Child {
    suite.command("compare", &[]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn name(seed: usize) -> String {
    format!("uniform.arc_easy.seed-{seed}")
}

/// Waits until a file of a cell is there.
fn wait_for(suite: &Suite, cell: &str, file: &str) {
    let began = Instant::now();
    while !suite.run(cell).join(file).exists() {
        assert!(began.elapsed() < Duration::from_secs(120), "no {file} of {cell}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_killed_suite_continues_and_recomputes_nothing_that_is_finished() {
    let suite = Suite::new(SEEDS);
    // Twice, at other places: in the first cell, and between the columns of the second.
    for (cell, file) in [(name(0), "bundle/manifest.json"), (name(1), "evaluate-emulator-tuned/manifest.json")] {
        let mut child = start(&suite);
        wait_for(&suite, &cell, file);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let before = identity_of_stages(&suite.run(&name(0)));
    let outcome = suite.verb("compare", &[]).expect(0);
    assert_eq!(
        (Suite::made(&outcome.stderr, "importance"), Suite::made(&outcome.stderr, "tune")),
        (0, 1),
        "{}",
        outcome.stderr
    );
    assert_eq!(identity_of_stages(&suite.run(&name(0))), before);
    // Nothing half-made is left, in the runs or in the pool.
    let files = behaviour::tree(&suite.output());
    assert_eq!(files.keys().filter(|name| name.contains(".tmp-") || name.contains(".old-")).count(), 0);
    // And it is what a suite that nobody stopped gives.
    let whole = Suite::new(SEEDS);
    whole.verb("compare", &[]).expect(0);
    let stages = |suite: &Suite| (0..3).map(|seed| identity_of_stages(&suite.run(&name(seed)))).collect::<Vec<_>>();
    assert_eq!(stages(&suite), stages(&whole));
    assert_eq!(suite.record("compare")["points"][0]["rows"], whole.record("compare")["points"][0]["rows"]);
}

/// Stops a suite politely once a cell has a file; what it said.
fn stop_at(suite: &Suite, cell: &str, file: &str) -> String {
    let child = start(suite);
    wait_for(suite, cell, file);
    let sent = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(7), "{stderr}");
    assert!(stderr.contains("cells left; the same command continues"), "{stderr}");
    stderr
}

#[test]
fn a_polite_stop_is_exit_7_and_leaves_the_table_of_what_is_finished() {
    let suite = Suite::new(SEEDS);
    stop_at(&suite, &name(0), "bundle/manifest.json");
    assert!(!suite.output().join("compare.json").exists(), "a table of nothing");
    let said = stop_at(&suite, &name(1), "bundle/manifest.json");
    assert!(said.contains("2 of 3 cells left") && said.contains("; 1 finished in "), "{said}");
    let record = suite.record("compare");
    assert_eq!((record["cells"].as_array().unwrap().len(), record["missing"].as_array().unwrap().len()), (1, 2));
    assert_eq!(record["points"][0]["rows"][0]["figures"]["plug_in"]["seeds"], 1);
    suite.verb("compare", &[]).expect(0);
    assert_eq!(suite.record("compare")["missing"], serde_json::json!([]));
}

#[test]
fn a_cell_that_fails_is_missing_with_its_reason_and_the_others_go_on() {
    let suite = Suite::new(BROKEN);
    let outcome = suite.verb("compare", &[]).expect(6);
    assert!(outcome.stderr.contains("error: 1 of 3 cells are missing:"), "{}", outcome.stderr);
    let row = outcome.stdout.lines().find(|line| line.contains(" broken ")).unwrap();
    assert!(row.contains('–') && !row.contains('0'), "{row}");
    let reason = outcome.stdout.lines().find(|line| line.trim_start().starts_with("broken.arc_easy.seed-0: ")).unwrap();
    assert!(reason.contains("expected a finite number"), "{reason}");
    let record = suite.record("compare");
    assert_eq!(record["missing"].as_array().unwrap().len(), 1);
    assert_eq!(record["points"][1]["standing"], serde_json::Value::Null);
    assert_eq!(record["cells"].as_array().unwrap().len(), 2);
    // The pair of the two that finished is still tested.
    let pairs = record["comparisons"].as_array().unwrap();
    assert!(pairs.len() == 2 && pairs.iter().all(|pair| pair["first"] == "good" && pair["second"] == "other"));
    let table = std::fs::read_to_string(suite.output().join("compare.csv")).unwrap();
    assert!(table.contains("broken,,arc_easy,,,,,,0,1,,,"), "{table}");
    let page = std::fs::read_to_string(suite.output().join("report.html")).unwrap();
    assert!(page.contains("<td>broken.arc_easy.seed-0</td>") && page.contains("<h2>Missing</h2>"), "{page}");
    assert!(page.contains("class=\"number missing\" title=\"broken.arc_easy.seed-0: "), "{page}");
    assert!(page.matches("expected a finite number").count() > 1, "{page}");
    // Asked again for JSON there is one object on stdout, and still the exit status.
    let again = suite.verb("compare", &["--json"]).expect(6).json();
    assert_eq!(again["missing"][0]["cell"], "broken.arc_easy.seed-0");
}

#[test]
fn results_of_another_config_never_reach_the_table() {
    let suite = Suite::new("seeds = [0]\n[[method]]\nname = \"good\"\nconfig = \"METHOD\"\n");
    suite.verb("compare", &[]).expect(0);
    // The same cell, which now fails before it has results: those of before are no stand-in.
    let outcome =
        suite.verb("compare", &["tune.learning_rate=1e3", "tune.clip_norm=0.0", "model.dtype=fp16"]).expect(6);
    assert!(suite.run("good.arc_easy.seed-0").join("evaluate-plug-in").exists());
    assert!(outcome.stdout.contains("0 of 1 cells finished"), "{}", outcome.stdout);
}

#[test]
fn a_pool_that_is_named_is_the_one_that_cells_use() {
    let one = "seeds = [0]\n[[method]]\nname = \"uniform\"\nconfig = \"METHOD\"\n";
    let (first, second) = (Suite::new(one), Suite::new(one));
    let shared = behaviour::scratch();
    let pool = ["--stage-pool", shared.path().to_str().unwrap()];
    let outcome = first.verb("compare", &pool).expect(0);
    assert_eq!((Suite::made(&outcome.stderr, "importance"), Suite::made(&outcome.stderr, "tune")), (1, 1));
    assert!(!first.output().join("stages").exists());
    // What another suite is about to make in there is not ours to clear away.
    let claim = shared.path().join("importance/.lock-of-another");
    std::fs::write(&claim, "").unwrap();
    let outcome = second.verb("compare", &pool).expect(0);
    for stage in ["importance", "replace", "bundle", "tune", "plug_in", "evaluate plug_in on arc_easy"] {
        assert_eq!(Suite::made(&outcome.stderr, stage), 0, "{stage}: {}", outcome.stderr);
    }
    assert!(claim.exists());
    // The costs are those of who made them.
    let seconds = |suite: &Suite| suite.record("compare")["points"][0]["seconds"].as_f64().unwrap();
    assert!(seconds(&first) > 0.0 && seconds(&first) == seconds(&second));
}

#[test]
fn a_damaged_stage_of_the_pool_is_made_again() {
    let suite = Suite::new(SEEDS);
    suite.verb("compare", &["seeds=[0]"]).expect(0);
    let pool = suite.output().join("stages/importance");
    let stage =
        std::fs::read_dir(&pool).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let file = stage.join("importance.json");
    let text = std::fs::read_to_string(&file).unwrap();
    // A file of its own: the first cell keeps what it has.
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, text + " ").unwrap();
    let outcome = suite.verb("compare", &["seeds=[1]"]).expect(0);
    assert!(outcome.stderr.contains("a damaged stage of the pool is removed"), "{}", outcome.stderr);
    assert_eq!(Suite::made(&outcome.stderr, "importance"), 1);
    suite.verb("compare", &["seeds=[0, 1]"]).expect(0);
}
