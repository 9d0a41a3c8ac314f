//! 73 to 82: parcels of the other party, exit 3.

use super::table::Table;
use behaviour::{copy, finished_run, tree::digest};
use std::fs;
use std::path::Path;

type Spoil = fn(&Path);

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn manifest(folder: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let path = folder.join("manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(path, format!("{manifest:#}\n")).unwrap();
}

/// A manifest in which everything is right again: what an attacker would write.
fn seal(folder: &Path) {
    for name in ["emulator.safetensors", "adapter.safetensors", "config.json", "emulator.json"] {
        let Ok(bytes) = fs::read(folder.join(name)) else { continue };
        manifest(folder, |manifest| {
            manifest["files"][name] = serde_json::json!({ "sha256": digest(&bytes), "size": bytes.len() });
        });
    }
    manifest(folder, |manifest| {
        manifest.as_object_mut().unwrap().remove("identity");
        let identity = digest(format!("{manifest:#}\n").as_bytes());
        manifest["identity"] = identity.into();
    });
}

const BUNDLE: &[(&str, Spoil)] = &[
    ("73 no manifest", |folder| fs::remove_file(folder.join("manifest.json")).unwrap()),
    ("73 newer format", |folder| manifest(folder, |m| m["format_version"] = 9.into())),
    ("73 unknown key", |folder| manifest(folder, |m| m["extra"] = 1.into())),
    ("73 digest in capitals", |folder| {
        manifest(folder, |m| {
            let upper = m["files"]["config.json"]["sha256"].as_str().unwrap().to_uppercase();
            m["files"]["config.json"]["sha256"] = upper.into();
        });
    }),
    ("73 another format", |folder| manifest(folder, |m| m["format"] = "scaleot-ledger".into())),
    ("74 file missing", |folder| fs::remove_file(folder.join("tokenizer.json")).unwrap()),
    ("74 extra file", |folder| fs::write(folder.join("notes.txt"), "hello").unwrap()),
    ("74 renamed", |folder| fs::rename(folder.join("config.json"), folder.join("confih.json")).unwrap()),
    ("74 a link", |folder| {
        fs::rename(folder.join("config.json"), folder.with_extension("moved")).unwrap();
        std::os::unix::fs::symlink(folder.with_extension("moved"), folder.join("config.json")).unwrap();
    }),
    ("75 a bit of the tensors", |folder| {
        edit(&folder.join("emulator.safetensors"), |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        })
    }),
    ("75 a bit of the config", |folder| edit(&folder.join("config.json"), |bytes| bytes[10] ^= 1)),
    ("75 a bit of the manifest", |folder| edit(&folder.join("manifest.json"), |bytes| bytes[200] ^= 1)),
    ("75 cut", |folder| edit(&folder.join("emulator.safetensors"), |bytes| bytes.truncate(bytes.len() / 2))),
    ("75 a megabyte more", |folder| edit(&folder.join("emulator.safetensors"), |bytes| bytes.extend(vec![0; 1 << 20]))),
    ("79 a path for a name", |folder| {
        manifest(folder, |m| {
            let entry = m["files"]["config.json"].take();
            m["files"].as_object_mut().unwrap().remove("config.json");
            m["files"]["../config.json"] = entry;
        });
        seal(folder);
    }),
    ("sealed again, not a number", |folder| {
        edit(&folder.join("emulator.safetensors"), |bytes| {
            let end = bytes.len();
            bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        });
        seal(folder);
    }),
    ("sealed again, a slot less", |folder| {
        edit(&folder.join("emulator.json"), |bytes| {
            let mut slots: serde_json::Value = serde_json::from_slice(bytes).unwrap();
            slots["slots"].as_array_mut().unwrap().pop();
            *bytes = slots.to_string().into_bytes();
        });
        seal(folder);
    }),
];

const RETURN: &[(&str, Spoil)] = &[
    ("75 a bit of the tensors", |folder| {
        edit(&folder.join("adapter.safetensors"), |bytes| {
            let end = bytes.len();
            bytes[end - 1] ^= 1;
        })
    }),
    ("76 another bundle's", |folder| {
        manifest(folder, |m| m["body"]["bundle"] = "0".repeat(64).into());
        seal(folder);
    }),
    ("77 a tensor by another name", |folder| {
        edit(&folder.join("adapter.safetensors"), |bytes| {
            rename(bytes, "slots.0.attention.k.weight", "slots.2.attention.k.weight")
        });
        seal(folder);
    }),
    ("77 transposed", |folder| {
        edit(&folder.join("adapter.safetensors"), |bytes| rename(bytes, "[176,64]", "[64,176]"));
        seal(folder);
    }),
    ("77 another type", |folder| {
        edit(&folder.join("adapter.safetensors"), |bytes| rename(bytes, "\"F32\"", "\"I32\""));
        seal(folder);
    }),
    ("78 not a number", |folder| {
        edit(&folder.join("adapter.safetensors"), |bytes| {
            let end = bytes.len();
            bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        });
        seal(folder);
    }),
    ("78 far too large", |folder| {
        edit(&folder.join("adapter.safetensors"), |bytes| {
            let end = bytes.len();
            bytes[end - 4..].copy_from_slice(&1e6_f32.to_le_bytes());
        });
        seal(folder);
    }),
    ("80 adapters of other slots", |folder| {
        manifest(folder, |m| m["body"]["adapters"][0][0] = 2.into());
        seal(folder);
    }),
];

/// Replaces text of the header by as much other text.
fn rename(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect("the text");
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
}

#[test]
fn a_bundle_is_refused_by_file() {
    let mut table = Table::new();
    for (index, (name, spoil)) in BUNDLE.iter().enumerate() {
        let bundle = table.folder.path().join(format!("bundle-{index}"));
        copy(&finished_run().join("bundle"), &bundle);
        spoil(&bundle);
        table.verb(name, 3, "tune", &["--bundle", bundle.to_str().unwrap()]);
        let verified = behaviour::scaleot(["verify".as_ref(), bundle.as_os_str()]);
        assert_eq!(verified.code, Some(3), "{name}: verify must refuse what tune refuses");
    }
    insta::assert_snapshot!(table.said());
}

#[test]
fn a_sealed_copy_is_accepted_so_that_the_refusals_above_mean_something() {
    let folder = behaviour::scratch();
    let bundle = folder.path().join("bundle");
    copy(&finished_run().join("bundle"), &bundle);
    let before = fs::read(bundle.join("manifest.json")).unwrap();
    seal(&bundle);
    assert_eq!(fs::read(bundle.join("manifest.json")).unwrap(), before);
    behaviour::scaleot(["verify".as_ref(), bundle.as_os_str()]).expect(0);
}

#[test]
fn a_return_is_refused_before_it_touches_the_model() {
    let mut table = Table::new();
    for (index, (name, spoil)) in RETURN.iter().enumerate() {
        let returned = table.folder.path().join(format!("return-{index}"));
        copy(&finished_run().join("return"), &returned);
        spoil(&returned);
        table.verb(name, 3, "plug-in", &["--return", returned.to_str().unwrap()]);
    }
    let bundle = table.run.join("bundle");
    table.verb("a bundle for a return", 3, "plug-in", &["--return", bundle.to_str().unwrap()]);
    // The run's own return was plugged in under another limit before.
    table.verb("78 beyond the owner's limit", 3, "plug-in", &["plug_in.max_delta_ratio=1e-6"]);
    insta::assert_snapshot!(table.said());
}
