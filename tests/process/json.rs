//! With `--json` stdout is one JSON object, whatever the verb and however it ends.

use behaviour::{finished_run, misbehaving_plugin, outcome, program::command, scratch};
use serde_json::Value;

const QUICK: &str = "configs/ci.toml output=RUN evaluate.limit=4 runtime.threads=1";
const BARE: &str = "--model tests/fixtures/ci-model --task arc_easy --tasks-folder tests/fixtures/tasks --limit 1";

/// Every verb and its exit status, in order: later ones find what earlier ones made.
const VERBS: [(&str, i32); 38] = [
    ("run QUICK", 0),
    ("importance QUICK", 0),
    ("replace QUICK", 0),
    ("train QUICK", 0),
    ("compress QUICK", 0),
    ("compress QUICK output=NEW/other compress.use=scaleot/selective-rank", 2),
    ("bundle QUICK", 0),
    ("tune QUICK", 0),
    ("plug-in QUICK", 0),
    ("full-tuning QUICK output=NEW/full full_tuning.steps=1", 0),
    ("evaluate QUICK", 0),
    ("evaluate BARE", 0),
    ("report QUICK", 0),
    ("export QUICK --to NEW/exported", 0),
    ("plan QUICK", 0),
    ("verify RUN/bundle", 0),
    ("verify RUN/return --bundle RUN/bundle", 0),
    ("verify tests/fixtures/ci-model", 3),
    ("plugin list", 0),
    ("plugin info scaleot", 0),
    ("plugin info no-such", 2),
    ("plugin check offsite-tuning", 0),
    ("plugin check test-misbehaving --plugin-path MISBEHAVING", 4),
    ("plugin new my-method --kind adapter --path NEW/crate", 0),
    ("plugin lock NEW/ci.toml", 0),
    ("plugin remove no-such", 4),
    ("config validate configs/ci.toml", 0),
    ("config show configs/ci.toml", 0),
    ("config schema", 0),
    ("config show configs/ci.toml seed=-1", 2),
    ("completions bash", 0),
    ("compare NEW/suite.toml tune.steps=1 evaluate.limit=1 evaluate.text=[] evaluate.columns=[\"emulator\"]", 0),
    ("choose NEW/suite.toml", 2),
    ("bench tune QUICK output=NEW/bench --steps 1 --warmup 0", 0),
    ("frobnicate", 2),
    ("run", 2),
    ("run QUICK --threads x", 2),
    ("evaluate --model tests/fixtures/ci-model", 2),
];

#[test]
fn stdout_is_one_object_of_every_verb() {
    let folder = scratch();
    let new = folder.path().display().to_string();
    let run = folder.path().join("run");
    behaviour::copy(finished_run(), &run);
    std::fs::copy(behaviour::repository().join(behaviour::CONFIG), folder.path().join("ci.toml")).unwrap();
    let suite = format!(
        "version = 1\noutput = \"{new}/suite\"\ntasks = [\"arc_easy\"]\nseeds = [1]\n[[method]]\nname = \"drop\"\nconfig = \"ci.toml\"\n"
    );
    std::fs::write(folder.path().join("suite.toml"), suite).unwrap();
    let words = [
        ("QUICK", QUICK),
        ("BARE", BARE),
        ("RUN", run.to_str().unwrap()),
        ("NEW", &new),
        ("MISBEHAVING", misbehaving_plugin().to_str().unwrap()),
    ];
    for (line, code) in VERBS {
        let filled = words.iter().fold(line.to_owned(), |line, (word, meaning)| line.replace(word, meaning));
        let words = behaviour::each_key_once(filled.split(' ').map(str::to_owned).collect());
        let outcome = outcome(&mut command(words.iter().map(String::as_str).chain(["--json", "--quiet"])));
        assert_eq!(outcome.code, Some(code), "{line}: {}\n{}", outcome.stdout, outcome.stderr);
        let value: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(value.is_object(), "{line}: {value}");
        // A refusal says its exit status, except where stdout has what was found.
        if value.get("error").is_some() {
            assert_eq!(value["exit_code"], code, "{line}");
        }
    }
}
