//! Combinations that cannot mean what they look like, and what only a strategy itself refuses: told by `run`, `plan` and
//! `config validate` in the same words, before any work.

use super::table::Table;
use behaviour::{CONFIG, each_key_once, quick, scaleot, scratch, verb};

/// `run` refuses, in the table; the verbs that only look say the same.
fn refused(table: &mut Table, name: &str, code: i32, more: &[&str]) {
    table.verb(name, code, "run", more);
    let said = |words: &[&str]| {
        let mut arguments: Vec<String> = words.iter().map(ToString::to_string).collect();
        arguments.push(CONFIG.to_owned());
        arguments.extend(quick(&table.run));
        arguments.extend(more.iter().map(ToString::to_string));
        let stderr = scaleot(each_key_once(arguments)).expect(code).stderr;
        // What changed since the last run is the run's matter.
        stderr.lines().skip_while(|line| !line.starts_with("error: ")).collect::<Vec<_>>().join("\n")
    };
    let run = said(&["run"]);
    assert_eq!((said(&["plan"]), said(&["config", "validate"])), (run.clone(), run), "{name}");
}

const SORTING: &str = "replace.use=shortgpt/layer-removal";

#[test]
fn a_combination_that_cannot_mean_anything_is_refused() {
    let mut table = Table::new();
    let cases: &[(&str, &[&str])] = &[
        ("scores that nothing reads", &["importance.use=shortgpt/block-influence"]),
        ("an order that nothing reads", &["importance.use=offsite-tuning/random"]),
        (
            "scores that an option ignores",
            &["importance.use=llm-pruner/taylor", "replace.use=scaleot/harmonizer", "replace.options.selection=random"],
        ),
        ("training scores for nothing that trains", &["importance.use=scaleot/dynamic-layer-replace"]),
        ("equal scores to sort by", &[SORTING]),
        ("equal scores to sort harmonizers by", &["replace.use=scaleot/harmonizer"]),
        ("equal scores for clusters", &["replace.use=crash/share"]),
        ("equal scores for groups", &["replace.use=scaleot/harmonizer", "replace.options.selection=per_group"]),
        ("equal scores to place by", &["adapter.placement=top_score"]),
        ("distilled without a training", &["replace.use=offsite-tuning/distilled-drop"]),
        ("a training of nothing", &["train.steps=5"]),
        (
            "a training of nothing that is shared",
            &["importance.use=crash/layer-similarity", "replace.use=crash/share", "train.steps=5"],
        ),
    ];
    for (name, more) in cases {
        table.verb(name, 2, "run", more);
    }
    insta::assert_snapshot!(table.said());
}

#[test]
fn what_only_a_strategy_refuses_is_found_before_work() {
    let mut table = Table::new();
    refused(&mut table, "bits of none", 2, &["compress.use=edge-llm/layer-wise", "compress.options.bits=1"]);
    let norm = ["replace.options={ norm = true, warm_start = \"regression\" }"];
    let ranked = ["importance.use=offsite-tuning/random", "replace.use=scaleot/harmonizer"];
    refused(&mut table, "options that exclude each other", 2, &[&ranked[..], &norm].concat());
    refused(&mut table, "biases of a family without", 4, &["adapter.use=peft/bit-fit"]);
    refused(&mut table, "more layers than there are", 2, &["replace.count=4"]);
    refused(&mut table, "no such plugin", 2, &["compress.use=no-such/plugin"]);
    refused(&mut table, "no such option", 2, &["adapter.options.depth=3"]);
    insta::assert_snapshot!(table.said());
}

#[test]
fn data_that_cannot_be_used_is_found_before_work() {
    let mut table = Table::new();
    let folder = table.folder.path().join("tasks");
    behaviour::copy(&behaviour::repository().join("tests/fixtures/tasks"), &folder);
    let data = format!("data.folder={}", folder.display());
    let file = folder.join("arc_easy/train.jsonl");
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str("{ \"id\": 3,\n");
    std::fs::write(&file, text).unwrap();
    refused(&mut table, "a line that is cut", 3, &[&data]);
    let short = table.file("short.txt", "Too short.");
    let short = format!("data.text=[\"{}\"]", short.display());
    refused(&mut table, "too little text", 3, &[&short]);
    insta::assert_snapshot!(table.said());
}

/// An estimator that declares nothing: what its scores are is seen when they are there.
#[test]
fn scores_that_turn_out_to_be_equal_are_not_sorted_by() {
    let folder = scratch();
    let silent = "importance.use=test-objectives/silent";
    let plugin = ["--plugin-path", behaviour::test_plugin().to_str().unwrap(), "--unpinned", "allow", silent];
    let run = folder.path().join("run");
    let more = |replacer: &'static str| [&plugin[..], &[replacer]].concat();
    verb("importance", &run, &more(SORTING)).expect(0);
    let refused = verb("replace", &run, &more(SORTING)).expect(2).stderr;
    let why = "key `importance.use`: found \"test-objectives/silent\", which gave every layer between the adapters the \
               score 0, expected scores that differ, because replace.use = \"shortgpt/layer-removal\" chooses layers by them";
    assert!(refused.contains(why), "{refused}");
    assert!(!run.join("replace").exists());
    let top = [&plugin[..], &["adapter.placement=top_score"]].concat();
    verb("importance", &run, &top).expect(0);
    let refused = verb("replace", &run, &top).expect(2).stderr;
    assert!(refused.contains("key `adapter.placement`: found \"top_score\""), "{refused}");
    // A rule of its own is asked for no scores, whether it is declared or not.
    let rule = more("replace.use=test-objectives/silent-rule");
    verb("importance", &run, &rule).expect(0);
    verb("replace", &run, &rule).expect(0);
    let even = ["replace.use=scaleot/harmonizer", "replace.options.selection=even", "public_data.text=[]"];
    for name in ["importance", "replace"] {
        verb(name, &folder.path().join("other"), &even).expect(0);
    }
}

#[test]
fn a_key_without_effect_is_told_once() {
    let folder = scratch();
    let more = [
        "full_tuning.learning_rate=1e-4",
        "data.block_length=1024",
        "evaluate.columns=[\"zero_shot\"]",
        "tune.steps=2",
    ];
    let said = verb("run", &folder.path().join("run"), &more).expect(0).stderr;
    for told in [
        "notice: full_tuning.learning_rate has no effect: evaluate.columns does not name full_tuning",
        "notice: data.block_length has no effect: data.text is empty",
        "notice: public_data.text has no effect: no strategy of this config says that it reads public text",
    ] {
        assert_eq!(said.matches(told).count(), 1, "{told}: {said}");
    }
    // The record that the run left has every key, and says nothing of those.
    let record = folder.path().join("run/config.toml");
    let said = scaleot(["config", "validate", record.to_str().unwrap()]).expect(0).stderr;
    assert!(
        said.contains("full_tuning.learning_rate has no effect") && !said.contains("full_tuning.batch_size"),
        "{said}"
    );
}

#[test]
fn a_training_of_the_owner_is_there_with_its_length_or_not_at_all() {
    let folder = scratch();
    let run = folder.path().join("run");
    let refused = verb("train", &run, &["train.learning_rate=1e-4"]).expect(2).stderr;
    assert!(refused.contains("key `train.steps`: missing, expected a whole number of at least 1"), "{refused}");
    let file = folder.path().join("mine.toml");
    let text = std::fs::read_to_string(behaviour::repository().join(behaviour::CONFIG)).unwrap();
    let with = |steps: u32| std::fs::write(&file, format!("{text}\n[train]\nsteps = {steps}\n")).unwrap();
    with(0);
    let validate = |more: &[&str]| scaleot([&["config", "show", file.to_str().unwrap()], more].concat());
    let refused = validate(&[]).expect(2).stderr;
    assert!(refused.contains("key `train.steps`: found 0, expected at least 1 step, or no [train]"), "{refused}");
    with(5);
    assert!(validate(&[]).expect(0).stdout.contains("[train]"));
    assert!(!validate(&["train.steps=0"]).expect(0).stdout.contains("[train]"));
}

/// Every run config that is shipped, on the tests' model and data: its strategies exist, take their options and go together.
#[test]
fn every_shipped_config_can_mean_something() {
    let configs = behaviour::repository().join("configs");
    let folders = [configs.clone(), configs.join("methods")];
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let is_run = |path: &std::path::PathBuf| path.is_file() && !path.ends_with("reference.toml");
    let mut tried = 0;
    for file in files.filter(is_run) {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut more = vec!["model.path=tests/fixtures/ci-model", "data.folder=tests/fixtures/tasks"];
        // The tests' text is short.
        more.extend(["evaluate.text=[]", "public_data.block_length=32"]);
        if text.contains("[public_data]") {
            more.push("public_data.text=[\"tests/fixtures/text/hellaswag-train.txt\"]");
        }
        // The model has four layers between the adapters.
        if !text.contains("\ncount = 0") {
            more.push("replace.count=2");
        }
        let arguments = [&["config", "validate", file.to_str().unwrap()], &more[..]].concat();
        scaleot(arguments).expect(0);
        tried += 1;
    }
    assert!(tried >= 19, "{tried}");
}
