//! Two parties who share two folders and nothing else: what a bundle and a return hold, to the byte, and what they must not.

use behaviour::bundle_file::{holds, read};
use behaviour::{CONFIG, copy, finished_run, identity, repository, scaleot, scratch, verb};
use std::collections::BTreeSet;
use std::path::Path;

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
    let run = folder.path().join("run");
    let data = [format!("data.text=[\"{}\"]", text.display()), "data.block_length=64".into(), "tune.steps=3".into()];
    let data: Vec<&str> = data.iter().map(String::as_str).collect();
    for name in ["importance", "replace", "bundle", "tune"] {
        verb(name, &run, &data).expect(0);
    }
    for file in files_of(&run.join("return")) {
        let bytes = std::fs::read(run.join("return").join(&file)).unwrap();
        assert!(!holds(&bytes, &canary.as_bytes()[..8]), "{file}");
    }
}

#[test]
fn a_data_owner_needs_the_bundle_alone_and_the_owner_the_return_alone() {
    let folder = scratch();
    let (owner, theirs) = (folder.path().join("owner"), folder.path().join("theirs"));
    for name in ["importance", "replace", "bundle"] {
        verb(name, &owner, &[]).expect(0);
    }
    // What travels: the bundle. The data owner's config names a model that is not there.
    let bundle = folder.path().join("sent/bundle");
    copy(&owner.join("bundle"), &bundle);
    scaleot(["verify".as_ref(), bundle.as_os_str()]).expect(0);
    let elsewhere = ["model.path=no/such/model", "importance.use=no-such/plugin", "--bundle", bundle.to_str().unwrap()];
    verb("tune", &theirs, &elsewhere).expect(0);
    assert_eq!(identity(&theirs.join("return")), identity(&finished_run().join("return")));
    // What comes back: the return.
    let returned = folder.path().join("received/return");
    copy(&theirs.join("return"), &returned);
    let verified =
        ["verify", returned.to_str().unwrap(), "--bundle", owner.join("bundle").to_str().unwrap()].map(str::to_owned);
    scaleot(verified).expect(0);
    verb("plug-in", &owner, &["--return", returned.to_str().unwrap()]).expect(0);
    verb("evaluate", &owner, &[]).expect(0);
    let column = "evaluate-plug-in";
    assert_eq!(identity(&owner.join(column)), identity(&finished_run().join(column)));
    // Once more: it is the same model, not twice the delta.
    verb("plug-in", &owner, &["--return", returned.to_str().unwrap()]).expect(0);
    verb("evaluate", &owner, &[]).expect(0);
    assert_eq!(identity(&owner.join(column)), identity(&finished_run().join(column)));
}

#[test]
fn a_plugin_of_the_owner_is_no_matter_of_the_data_owner() {
    // The config names what only the owner has; the data owner's verb does not look for it.
    let folder = scratch();
    let bundle = finished_run().join("bundle");
    let more = ["replace.use=owners-own/secret", "--bundle", bundle.to_str().unwrap(), "tune.steps=1"];
    verb("tune", &folder.path().join("run"), &more).expect(0);
    assert!(repository().join(CONFIG).is_file());
}
