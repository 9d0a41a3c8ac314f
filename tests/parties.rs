//! Two parties who share two folders and nothing else: what a bundle and a return hold, to the byte, and what they must not.

use behaviour::bundle_file::{holds, read};
use behaviour::{Outcome, copy, each_key_once, finished_run, identity, repository, scaleot, scratch};
use std::collections::BTreeSet;
use std::path::Path;

/// The parties' configs as they are shipped.
const OWNER: &str = "configs/owner.toml";
const DATA_OWNER: &str = "configs/data-owner.toml";

/// The model owner's config on the tests' model, as the finished run has it.
const OWNER_HERE: [&str; 8] = [
    "model.path=tests/fixtures/ci-model",
    "data.folder=tests/fixtures/tasks",
    "public_data.text=[\"tests/fixtures/text/hellaswag-train.txt\"]",
    "public_data.block_length=128",
    "replace.count=2",
    "evaluate.text=[\"tests/fixtures/text/hellaswag-train.txt\"]",
    "evaluate.limit=4",
    "runtime.threads=1",
];

/// The data owner's config on the tests' questions, as the finished run tunes.
const DATA_OWNER_HERE: [&str; 6] = [
    "data.folder=tests/fixtures/tasks",
    "tune.learning_rate=1e-3",
    "tune.steps=20",
    "tune.batch_size=2",
    "tune.evaluate_every=0",
    "runtime.threads=1",
];

/// A verb on a party's config; `more` may set what `here` sets.
fn party(verb: &str, config: &str, run: &Path, here: &[&str], more: &[&str]) -> Outcome {
    let output = format!("output={}", run.display());
    let arguments = [&[verb, config, &output], here, more].concat();
    scaleot(each_key_once(arguments.into_iter().map(str::to_owned).collect()))
}

fn owner(verb: &str, run: &Path, more: &[&str]) -> Outcome {
    party(verb, OWNER, run, &OWNER_HERE, more)
}

/// `tune` on a bundle, by somebody who has nothing else of the owner's.
fn tune(run: &Path, bundle: &Path, more: &[&str]) -> Outcome {
    let more = [more, &["--bundle", bundle.to_str().unwrap()]].concat();
    party("tune", DATA_OWNER, run, &DATA_OWNER_HERE, &more)
}

/// Roles of a layer of the LLaMA family.
const ROLES: [&str; 9] = [
    "attention.q",
    "attention.k",
    "attention.v",
    "attention.o",
    "mlp.up",
    "mlp.gate",
    "mlp.down",
    "norm.attention",
    "norm.mlp",
];

fn names_of_slots(slots: impl Iterator<Item = usize>) -> BTreeSet<String> {
    slots.flat_map(|slot| ROLES.map(|role| format!("slots.{slot}.{role}.weight"))).collect()
}

fn files_of(folder: &Path) -> BTreeSet<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn a_bundle_holds_what_its_plan_lists_and_nothing_else() {
    let bundle = finished_run().join("bundle");
    let data = ["config.json", "emulator.json", "emulator.safetensors", "manifest.json"];
    let expected = data.into_iter().chain(["tokenizer.json", "tokenizer_config.json"]);
    assert_eq!(files_of(&bundle), expected.map(str::to_owned).collect());
    // Every byte of the file belongs to a tensor: `read` asserts it.
    let tensors = read(&bundle.join("emulator.safetensors"));
    let mut names = names_of_slots(0..6);
    names.extend(["embedding".to_owned(), "final_norm.weight".to_owned()]);
    assert_eq!(tensors.by_name.keys().cloned().collect::<BTreeSet<_>>(), names);
    let slots: serde_json::Value =
        serde_json::from_slice(&std::fs::read(bundle.join("emulator.json")).unwrap()).unwrap();
    assert_eq!(slots["slots"].as_array().unwrap().len(), 6);
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(bundle.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["num_hidden_layers"], 6);
}

#[test]
fn a_bundle_tells_neither_dropped_layers_nor_where_layers_stood() {
    let bundle = finished_run().join("bundle");
    let model = read(&repository().join("tests/fixtures/ci-model/model.safetensors"));
    let sent = std::fs::read(bundle.join("emulator.safetensors")).unwrap();
    // Layers 3 and 4 are dropped by the uniform plan; layers 0 and 7 train and must be there, which gives the test its teeth.
    for (layer, is_sent) in [(0, true), (2, true), (3, false), (4, false), (7, true)] {
        let prefix = format!("model.layers.{layer}.");
        let matrices = model.by_name.iter().filter(|(name, (shape, _))| name.starts_with(&prefix) && shape.len() == 2);
        for (name, (_, data)) in matrices {
            assert_eq!(holds(&sent, &data[..256]), is_sent, "{name}");
        }
    }
    let secrets = [
        repository().to_str().unwrap().to_owned(),
        finished_run().to_str().unwrap().to_owned(),
        "ci-model".to_owned(),
        "layer_of_slot".to_owned(),
        "model.layers".to_owned(),
    ];
    for folder in ["bundle", "return"] {
        for file in files_of(&finished_run().join(folder)) {
            let bytes = std::fs::read(finished_run().join(folder).join(&file)).unwrap();
            for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
                assert!(!holds(&bytes, secret.as_bytes()), "{folder}/{file} holds {secret}");
            }
        }
    }
    // The owner's own record does have the original places.
    let ledger = std::fs::read(finished_run().join("ledger/manifest.json")).unwrap();
    assert!(holds(&ledger, b"layer_of_slot"));
}

#[test]
fn a_return_holds_the_adapter_and_nothing_else() {
    let folder = finished_run().join("return");
    assert_eq!(files_of(&folder), BTreeSet::from(["adapter.safetensors", "manifest.json"].map(str::to_owned)));
    let tensors = read(&folder.join("adapter.safetensors"));
    let names: BTreeSet<String> = tensors.by_name.keys().cloned().collect();
    assert_eq!(names, names_of_slots([0, 1, 4, 5].into_iter()));
}

#[test]
fn no_word_of_the_data_leaves_with_the_return() {
    let folder = scratch();
    let canary = "qzKf83hJwPx02mVtRb71LsYd94NcGu65";
    let text = folder.path().join("private.txt");
    std::fs::write(&text, format!("the {canary} sat on the mat and {canary} looked at the moon. ").repeat(120))
        .unwrap();
    let (house, run) = (folder.path().join("owner"), folder.path().join("run"));
    for name in ["importance", "replace", "bundle"] {
        owner(name, &house, &[]).expect(0);
    }
    let text = format!("data.text=[\"{}\"]", text.display());
    tune(&run, &house.join("bundle"), &[&text, "data.block_length=64", "tune.steps=3"]).expect(0);
    for file in files_of(&run.join("return")) {
        let bytes = std::fs::read(run.join("return").join(&file)).unwrap();
        assert!(!holds(&bytes, &canary.as_bytes()[..8]), "{file}");
    }
}

#[test]
fn neither_config_has_a_section_of_the_other_party() {
    let sections = |config: &str| -> BTreeSet<String> {
        let text = std::fs::read_to_string(repository().join(config)).unwrap();
        text.lines().filter_map(|line| Some(line.strip_prefix('[')?.strip_suffix(']')?.to_owned())).collect()
    };
    let owners = ["adapter", "evaluate", "importance", "model", "replace"];
    assert_eq!(sections(OWNER), BTreeSet::from(owners.map(str::to_owned)));
    assert_eq!(sections(DATA_OWNER), BTreeSet::from(["data", "tune"].map(str::to_owned)));
}

#[test]
fn a_data_owner_needs_the_bundle_alone_and_the_owner_the_return_alone() {
    let folder = scratch();
    let (house, theirs) = (folder.path().join("owner"), folder.path().join("theirs"));
    for name in ["importance", "replace", "train", "compress", "bundle"] {
        owner(name, &house, &[]).expect(0);
    }
    // What travels: the bundle.
    let bundle = folder.path().join("sent/bundle");
    copy(&house.join("bundle"), &bundle);
    scaleot(["verify".as_ref(), bundle.as_os_str()]).expect(0);
    let said = tune(&theirs, &bundle, &[]).expect(0).stderr;
    assert!(!said.contains("notice"), "{said}");
    assert_eq!(identity(&theirs.join("return")), identity(&finished_run().join("return")));
    // What comes back: the return.
    let returned = folder.path().join("received/return");
    copy(&theirs.join("return"), &returned);
    let verified =
        ["verify", returned.to_str().unwrap(), "--bundle", house.join("bundle").to_str().unwrap()].map(str::to_owned);
    scaleot(verified).expect(0);
    owner("plug-in", &house, &["--return", returned.to_str().unwrap()]).expect(0);
    owner("evaluate", &house, &[]).expect(0);
    let column = "evaluate-plug-in";
    assert_eq!(identity(&house.join(column)), identity(&finished_run().join(column)));
    // Once more: it is the same model, not twice the delta.
    owner("plug-in", &house, &["--return", returned.to_str().unwrap()]).expect(0);
    owner("evaluate", &house, &[]).expect(0);
    assert_eq!(identity(&house.join(column)), identity(&finished_run().join(column)));
}

#[test]
fn a_plugin_of_the_owner_is_no_matter_of_the_data_owner() {
    // The config names what only the owner has; the data owner's verb does not look for it, and says so.
    let folder = scratch();
    let owners = ["model.path=no/such/model", "importance.use=no-such/plugin", "replace.use=owners-own/secret"];
    let more = [&owners[..], &["tune.steps=1"]].concat();
    let said = tune(&folder.path().join("run"), &finished_run().join("bundle"), &more).expect(0).stderr;
    let notice = "notice: importance.use, model.path, replace.use have no effect: with --bundle the model owner's part";
    assert!(said.contains(notice), "{said}");
}

#[test]
fn a_key_that_contradicts_the_bundle_is_refused_by_name() {
    let folder = scratch();
    let run = folder.path().join("run");
    let refused = tune(&run, &finished_run().join("bundle"), &["adapter.layers=2"]).expect(2).stderr;
    let why = "key `adapter.layers`: found 2, expected the owner's number, because the bundle trains 4 layers";
    assert!(refused.contains(why), "{refused}");
    assert!(!run.join("return").exists());
    tune(&run, &finished_run().join("bundle"), &["adapter.layers=4", "tune.steps=1"]).expect(0);
}
