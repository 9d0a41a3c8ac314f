//! Each party's config has what that party's verbs need, and no more; a verb names what is missing.

use behaviour::{Outcome, identity, outcome, program::command, repository, scratch};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The two parties' folders, side by side.
struct Parties {
    folder: tempfile::TempDir,
}

fn absolute(path: &str) -> String {
    repository().join(path).display().to_string()
}

impl Parties {
    fn new(adapter: &str) -> Self {
        let folder = scratch();
        let parties = Self { folder };
        let owner = format!(
            "version = 1\noutput = \"run\"\n[model]\npath = \"{}\"\n[runtime]\nthreads = 1\n[replace]\ncount = 2\n{adapter}",
            absolute("tests/fixtures/ci-model")
        );
        let data_owner = format!(
            "version = 1\noutput = \"run\"\n[runtime]\nthreads = 1\n[data]\ntask = \"arc_easy\"\nfolder = \"{}\"\n\
             [tune]\nsteps = 4\nbatch_size = 2\naccumulation = 1\n",
            absolute("tests/fixtures/tasks")
        );
        for (name, text) in [("owner", owner), ("data-owner", data_owner)] {
            std::fs::create_dir(parties.of(name)).unwrap();
            std::fs::write(parties.of(name).join("config.toml"), text).unwrap();
        }
        parties
    }

    fn of(&self, party: &str) -> PathBuf {
        self.folder.path().join(party)
    }

    /// A verb in the party's own folder.
    fn verb(&self, party: &str, arguments: &[&str]) -> Outcome {
        let (verb, more) = arguments.split_first().unwrap();
        let all = [verb.split(' ').collect::<Vec<_>>(), vec!["config.toml"], more.to_vec()].concat();
        outcome(command(all).current_dir(self.of(party)))
    }
}

const LORA: &str = "[adapter]\nuse = \"peft/lora\"\noptions = { rank = 2, alpha = 4.0 }\n";
const BUNDLE: [&str; 2] = ["--bundle", "../owner/run/bundle"];

#[test]
fn neither_party_writes_keys_of_the_other() {
    let parties = Parties::new(LORA);
    let planned = parties.verb("owner", &["plan"]).expect(0).stdout;
    assert!(planned.contains("tuning: data.task and data.text are left out; the data owner has them"), "{planned}");
    for verb in ["importance", "replace", "train", "compress", "bundle"] {
        parties.verb("owner", &[verb]).expect(0);
    }
    let bundle = BUNDLE[1];
    outcome(command(["verify", bundle]).current_dir(parties.of("data-owner"))).expect(0);
    parties.verb("data-owner", &[&["tune"], &BUNDLE[..]].concat()).expect(0);
    let returned =
        outcome(command(["verify", "run/return", "--bundle", bundle, "--json"]).current_dir(parties.of("data-owner")));
    assert_eq!(returned.expect(0).json()["what"], "return");
    parties.verb("owner", &["plug-in", "--return", "../data-owner/run/return"]).expect(0);
    // What trained was the bundle's, by nobody's plugin.
    let record = std::fs::read(parties.of("data-owner").join("run/plugins.json")).unwrap_or_else(|_| b"{}".to_vec());
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record.get("adapter"), None, "{record}");
    // The same steps as with the strategy named.
    let before = identity(&parties.of("data-owner").join("run/return"));
    let tensors = |run: &Path| std::fs::read(run.join("return/adapter.safetensors")).unwrap();
    let own = tensors(&parties.of("data-owner").join("run"));
    let named = ["tune", "output=named", "adapter.use=peft/lora", "adapter.options={ rank = 2, alpha = 4.0 }"];
    parties.verb("data-owner", &[&named, &BUNDLE[..]].concat()).expect(0);
    assert_eq!(tensors(&parties.of("data-owner").join("named")), own);
    parties.verb("data-owner", &[&["tune"], &BUNDLE[..]].concat()).expect(0);
    assert_eq!(identity(&parties.of("data-owner").join("run/return")), before);
}

#[test]
fn an_adapter_that_is_not_the_bundle_s_is_refused() {
    let parties = Parties::new(LORA);
    for verb in ["importance", "replace", "bundle"] {
        parties.verb("owner", &[verb]).expect(0);
    }
    let tune = |more: &[&str]| parties.verb("data-owner", &[&["tune"], &BUNDLE[..], more].concat()).expect(2).stderr;
    let whole = tune(&["adapter.use=offsite-tuning/outer-layers"]);
    for part in
        ["key `adapter.use`: found \"offsite-tuning/outer-layers\", which trains the whole layer", "a low-rank delta"]
    {
        assert!(whole.contains(part), "{part}: {whole}");
    }
    let rank = tune(&["adapter.use=peft/lora", "adapter.options={ rank = 8, alpha = 4.0 }"]);
    assert!(rank.contains("key `adapter.options`: found \"peft/lora\"") && rank.contains("of rank 2"), "{rank}");
    assert!(!parties.of("data-owner").join("run/return").exists());
}

#[test]
fn a_verb_names_the_key_that_it_lacks() {
    let parties = Parties::new("");
    let mut all = String::new();
    let scratch = parties.folder.path().display().to_string();
    let mut said = |party: &str, arguments: &[&str]| {
        let told = parties.verb(party, arguments).expect(2).stderr;
        let told = format!("{party}: {}\n  {}\n", arguments.join(" "), told.trim_end());
        all += &told.replace(&scratch, "SCRATCH").replace(&absolute(""), "REPOSITORY/");
    };
    for verb in
        ["importance", "replace", "train", "compress", "bundle", "plug-in", "full-tuning", "evaluate", "plan", "run"]
    {
        said("data-owner", &[verb]);
    }
    said("owner", &["tune"]);
    said("owner", &["full-tuning"]);
    said("owner", &["run"]);
    said("data-owner", &["replace", &format!("model.path={}", absolute("tests/fixtures/ci-model"))]);
    said("data-owner", &["tune", "--bundle", "../owner/run/bundle", "output=../owner/run/bundle/mine"]);
    said("owner", &["importance", "seed=1", "seed=2"]);
    said("owner", &["importance", "--threads", "2", "runtime.threads=1"]);
    said("owner", &["importance", "seed="]);
    insta::assert_snapshot!(all);
    for party in ["owner", "data-owner"] {
        assert!(!parties.of(party).join("run").exists(), "a refused verb left something");
    }
}

#[test]
fn validate_says_what_it_could_not_check() {
    let parties = Parties::new("");
    let owner = parties.verb("owner", &["config validate"]).expect(0).stdout;
    assert!(
        owner.contains("not checked: data.task and data.text are left out") && !owner.contains("model.path"),
        "{owner}"
    );
    let other = parties.verb("data-owner", &["config validate", "--json"]).expect(0).json();
    assert_eq!(other["unchecked"].as_array().unwrap().len(), 2, "{other}");
    parties.verb("data-owner", &["config validate", "adapter.options={ depth = 3 }"]).expect(2);
}

#[test]
fn text_is_cut_at_the_context() {
    let parties = Parties::new("");
    for verb in ["importance", "replace", "bundle"] {
        parties.verb("owner", &[verb]).expect(0);
    }
    let text = format!("data.text=[\"{}\"]", absolute("tests/fixtures/text/hellaswag-train.txt"));
    let tensors = |output: &str, block: &str| {
        let more = [&format!("output={output}"), &text, block, "tune.steps=2", "tune.batch_size=1"];
        parties.verb("data-owner", &[&["tune"], &BUNDLE[..], &more].concat()).expect(0);
        std::fs::read(parties.of("data-owner").join(output).join("return/adapter.safetensors")).unwrap()
    };
    // The model's context is 512.
    let whole = tensors("whole", "data.block_length=512");
    assert_eq!(tensors("longer", "data.block_length=1024"), whole);
    assert_ne!(tensors("shorter", "data.block_length=256"), whole);
    // Scores of public text as well.
    let public = format!("public_data.text=[\"{}\"]", absolute("tests/fixtures/text/hellaswag-train.txt"));
    let scores = |output: &str, block: &str| {
        let used = [
            "importance.use=shortgpt/block-influence",
            "importance.options.batches=1",
            "replace.use=shortgpt/layer-removal",
        ];
        let more = [&format!("output={output}"), &public, block];
        parties.verb("owner", &[&["importance"], &more[..], &used[..]].concat()).expect(0);
        let record = std::fs::read(parties.of("owner").join(output).join("importance/importance.json")).unwrap();
        serde_json::from_slice::<Value>(&record).unwrap()["scores"].clone()
    };
    assert_eq!(scores("longer", "public_data.block_length=1024"), scores("whole", "public_data.block_length=512"));
}
