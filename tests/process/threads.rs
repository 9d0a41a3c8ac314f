//! Waiting threads: their way of waiting, whose choice it is, and the share of cores of cells that run side by side.

use behaviour::program::command;
use behaviour::{Outcome, outcome, scratch};
use std::process::Command;

/// The program without what a test's own surroundings say about threads.
fn plain(arguments: &[&str]) -> Command {
    let mut command = command(arguments);
    for variable in ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS"] {
        command.env_remove(variable);
    }
    command
}

/// The settings that libgomp took from its environment when it was loaded, in its own words.
fn taken(variables: &[(&str, &str)]) -> String {
    let mut command = plain(&["--version"]);
    command.env("OMP_DISPLAY_ENV", "verbose").envs(variables.iter().copied());
    outcome(&mut command).expect(0).stderr
}

#[test]
fn a_thread_that_waits_spins_briefly_unless_the_user_says_otherwise() {
    assert!(taken(&[]).contains("GOMP_SPINCOUNT = '1000'"), "{}", taken(&[]));
    assert!(taken(&[("GOMP_SPINCOUNT", "77")]).contains("GOMP_SPINCOUNT = '77'"));
    assert!(taken(&[("OMP_WAIT_POLICY", "passive")]).contains("GOMP_SPINCOUNT = '0'"));
    // libgomp/env.c: five minutes of 100,000 spins a millisecond.
    assert!(taken(&[("OMP_WAIT_POLICY", "active")]).contains("GOMP_SPINCOUNT = '30000000000'"));
}

#[test]
fn doctor_says_how_threads_wait_and_by_whose_choice() {
    let doctor = |variables: &[(&str, &str)], more: &[&str]| -> Outcome {
        let mut command = plain(&[&["doctor", "--json"], more].concat());
        outcome(command.envs(variables.iter().copied()))
    };
    let ours = doctor(&[], &["--threads", "3"]).json();
    assert_eq!(ours["threads"]["wait"], serde_json::json!({ "chosen_by": "scaleot", "spin_count": 1000 }));
    assert_eq!(ours["threads"]["threads"], 3);
    let users = doctor(&[("OMP_WAIT_POLICY", "passive")], &[]).json();
    let expected = serde_json::json!({ "chosen_by": "user", "variable": "OMP_WAIT_POLICY", "value": "passive" });
    assert_eq!(users["threads"]["wait"], expected);
    // Of both, libgomp listens to the count.
    let both = doctor(&[("OMP_WAIT_POLICY", "passive"), ("GOMP_SPINCOUNT", "5")], &[]).json();
    assert_eq!(both["threads"]["wait"]["variable"], "GOMP_SPINCOUNT");
    let empty = outcome(plain(&["doctor", "--json"]).env_clear()).json();
    assert_eq!(empty["threads"]["wait"]["chosen_by"], "libgomp");
}

#[test]
fn a_variable_that_lent_its_place_has_it_back() {
    let folder = scratch();
    let mut command = plain(&["plugin", "remove", "no-such-plugin", "--user"]);
    // The only one there is: libgomp has seen ours in its place, the program sees it again.
    let home = folder.path().join("home");
    let stderr = outcome(command.env_clear().env("HOME", &home)).stderr;
    assert!(stderr.contains(home.to_str().unwrap()), "{stderr}");
}

#[test]
fn cells_side_by_side_share_the_cores() {
    let folder = scratch();
    let config = behaviour::repository().join(behaviour::CONFIG);
    let method = |name: &str| format!("[[method]]\nname = \"{name}\"\nconfig = \"{}\"\n", config.display());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cases = [("shared", &["runtime.threads=0"][..], (cores / 2).max(1)), ("asked", &["--threads", "3"], 3)];
    for (output, more, threads) in cases {
        let output = folder.path().join(output);
        let head = format!("version = 1\noutput = \"{}\"\ntasks = [\"arc_easy\"]\nseeds = [1]\n", output.display());
        let suite = folder.path().join("suite.toml");
        let other = method("other") + "set = [\"replace.count=1\"]\n";
        std::fs::write(&suite, head + &method("drop") + &other).unwrap();
        let mut arguments = vec!["compare", suite.to_str().unwrap(), "--jobs", "2", "tune.steps=1"];
        arguments.extend(["evaluate.limit=1", "evaluate.text=[]", "evaluate.columns=[\"emulator\"]"]);
        outcome(&mut plain(&[&arguments, more].concat())).expect(0);
        let records =
            std::fs::read_dir(output.join("runs")).unwrap().map(|run| run.unwrap().path().join("config.toml"));
        let records: Vec<String> = records.map(|record| std::fs::read_to_string(record).unwrap()).collect();
        assert_eq!(records.len(), 2);
        for record in records {
            assert!(record.contains(&format!("threads = {threads}\n")), "{record}");
        }
    }
}
