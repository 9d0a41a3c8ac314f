//! A task of the user's own: every verb knows it, and its file counts in what is computed from it.

use super::{config, model, on, own_task};
use behaviour::{scaleot, scratch};
use std::fs;

const LINES: &str = "{\"context\": \"Q\", \"choices\": [\"hot\", \"cold\"], \"gold\": 0}\n{\"context\": \"Why\", \"choices\": [\"hot\", \"cold\"], \"gold\": 1}\n";

#[test]
fn every_verb_knows_an_own_task() {
    let folder = scratch();
    let (model, tasks) = (model(folder.path(), "{}"), folder.path().join("tasks"));
    own_task(&tasks, "own", LINES);
    let config = config(folder.path(), &model, &tasks);
    on(&["config", "validate"], &config, &[]).expect(0);
    let plan = on(&["plan"], &config, &["--json"]).expect(0).json();
    assert_eq!(plan["questions"], serde_json::json!([["own", 2]]));
    let loss = || {
        let report = on(&["run"], &config, &["-q", "--json"]).expect(0).json();
        let row = report["rows"].as_array().unwrap().iter().find(|row| row["metric"] == "answer_loss").unwrap().clone();
        row["figures"]["zero_shot"]["mean"].as_f64().unwrap()
    };
    let first = loss();
    // Another prompt is another task, by the file's content.
    let file = tasks.join("own.toml");
    let changed = fs::read_to_string(&file).unwrap().replace("{{context}}", "Question: {{context}}");
    fs::write(&file, changed).unwrap();
    assert_ne!(loss(), first);
    let suite = folder.path().join("suite.toml");
    let text = format!(
        "version = 1\noutput = \"{}/suite\"\ntasks = [\"own\"]\nseeds = [0]\n[[method]]\nname = \"uniform\"\nconfig = \"run.toml\"\n",
        folder.path().display()
    );
    fs::write(&suite, text).unwrap();
    let table = on(&["compare"], &suite, &["-q", "--json"]).expect(0).json();
    assert_eq!(table["cells"].as_array().unwrap().len(), 1, "{table}");
    let unknown = on(&["compare"], &suite, &["tasks=[\"owm\"]"]).expect(2).stderr;
    assert!(unknown.contains("no task `owm`, did you mean `own`. Known: arc_challenge"), "{unknown}");
}

#[test]
fn an_own_task_that_will_not_do_is_refused_before_any_stage() {
    let folder = scratch();
    let (model, tasks) = (model(folder.path(), "{}"), folder.path().join("tasks"));
    own_task(&tasks, "own", LINES);
    let config = config(folder.path(), &model, &tasks);
    let said = |code, more: &[&str]| on(&["run"], &config, more).expect(code).stderr;
    let near = said(2, &["data.task=onw"]);
    assert!(near.contains("key `data.task`: no task `onw`, did you mean `own`. Known: arc_challenge"), "{near}");
    own_task(&tasks, "copa", LINES);
    let taken = said(2, &["evaluate.tasks=[\"copa\"]"]);
    assert!(taken.contains("copa.toml: key `name`: found \"copa\", which a task of the program has"), "{taken}");
    fs::write(tasks.join("torn.toml"), "name = \"torn\"\ndoc_to_text = 1\n").unwrap();
    let torn = said(2, &["data.task=torn"]);
    assert!(torn.contains("torn.toml: TOML parse error at line 2"), "{torn}");
    fs::remove_file(tasks.join("own/validation.jsonl")).unwrap();
    let absent = said(3, &[]);
    assert!(absent.contains("key `data.task`:") && absent.contains("own/validation.jsonl: cannot read"), "{absent}");
    assert!(!folder.path().join("run").exists());
    // The model owner has no data: verbs that need none do not ask for it.
    let config = config.display().to_string();
    let elsewhere = format!("data.folder={}", folder.path().join("nowhere").display());
    scaleot(["importance", &config, "-q", &elsewhere, "data.task=theirs"]).expect(0);
}
