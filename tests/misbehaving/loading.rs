//! 59 to 63, 70 and 71: libraries that are no plugins, or not the ones that they say they are.

use super::cases::{Case, told};
use behaviour::{misbehaving_plugin, scaleot, scratch};
use scaleot_plugin_api::export::API_VERSION;
use std::path::{Path, PathBuf};

const ESTIMATOR: &str = "importance.use=test-misbehaving/estimator";
const FILE: &str = "libtest_misbehaving.so";

/// The library in a folder of its own, changed.
fn library(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name).join(FILE);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

fn built() -> Vec<u8> {
    std::fs::read(misbehaving_plugin()).unwrap()
}

/// The library with every `from` overwritten.
fn patched(from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = built();
    let mut found = 0;
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
            found += 1;
        }
    }
    assert!(found > 0, "{} is not in the library", String::from_utf8_lossy(from));
    bytes
}

#[test]
fn what_is_no_plugin_of_ours_is_refused_before_or_at_loading() {
    let folder = scratch();
    let case = |name, bytes: &[u8]| {
        let path = library(folder.path(), name, bytes);
        Case::new(name, 4, "importance", &[ESTIMATOR]).library(&path)
    };
    let mut foreign = built();
    foreign[18] = 0xb7; // e_machine: AArch64
    let newer = format!("9{}", &API_VERSION[1..]);
    let said = told(&[
        case("59 empty", b""),
        case("59 text", b"#!/bin/sh\nexit 0\n"),
        case("59 a library without our symbol", &patched(b"_1as_0lib_1header", b"_0as_0lib_1header")),
        case("60 cut at 3,000 bytes", &built()[..3000]),
        case("61 another architecture", &foreign),
        case("61 another version of the contract", &patched(API_VERSION.as_bytes(), newer.as_bytes())),
        case("71 a dependency that is nowhere", &patched(b"libgcc_s.so.1", b"libgcc_x.so.1")),
    ]);
    let said = said.replace(&folder.path().display().to_string(), "FOLDER");
    let said = said.replace(API_VERSION, "OURS").replace(&newer, "NEWER");
    insta::with_settings!({ filters => [(r"to byte \d+", "to byte N")] }, { insta::assert_snapshot!(said) });
}

#[test]
fn a_record_is_read_like_any_file() {
    let case =
        |name, code, record: &str| Case::new(name, code, "importance", &[ESTIMATOR]).with("MISBEHAVE_RECORD", record);
    let said = told(&[
        case("63 a record that cannot be read", 4, "garbage"),
        case("63 a panic in the record", 4, "panic"),
        Case::new("63 another plugin's name", 4, "importance", &[ESTIMATOR, "replace.use=offsite-tuning/layer-drop"])
            .with("MISBEHAVE_RECORD", "name"),
        Case::new("63 another kind", 2, "importance", &["importance.use=test-misbehaving/replacer"]),
        Case::new(
            "63 a kind that is not exported",
            4,
            "run",
            &["compress.use=test-misbehaving/raw-compressor", "compress.options={ compress = \"7\" }"],
        ),
        Case::new("65 segfault at load", 4, "importance", &[ESTIMATOR]).with("MISBEHAVE_AT_LOAD", "segfault"),
    ]);
    // Which strategies there are is no matter of this test.
    insta::with_settings!({ filters => [(r"valid are .*", "valid are …")] }, { insta::assert_snapshot!(said) });
}

#[test]
fn every_verb_that_loads_plugins_survives_one_that_crashes_at_load() {
    let folder = scratch();
    let path = misbehaving_plugin().to_str().unwrap().to_owned();
    let run = folder.path().join("run");
    let output = format!("output={}", run.display());
    let verbs: [&[&str]; 4] = [
        &["plugin", "list"],
        &["plugin", "check", "test-misbehaving"],
        &["plugin", "info", "test-misbehaving"],
        &["config", "validate", behaviour::CONFIG, &output, ESTIMATOR],
    ];
    for verb in verbs {
        let mut command = behaviour::program::command([verb, &["--json", "--plugin-path", &path]].concat());
        let ended = command.env("MISBEHAVE_AT_LOAD", "segfault").output().unwrap();
        let stdout = String::from_utf8_lossy(&ended.stdout);
        assert_eq!(ended.status.code(), Some(4), "{verb:?}: {}", String::from_utf8_lossy(&ended.stderr));
        let value: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        let error = value["error"].as_str().unwrap();
        assert!(error.contains(FILE) && error.contains("SIGSEGV") && error.contains("`load`"), "{error}");
    }
    assert!(!run.exists());
}

#[test]
fn of_two_plugins_with_one_name_the_second_is_refused() {
    let path = misbehaving_plugin().to_str().unwrap();
    let built = behaviour::library("liboffsite_tuning.so");
    let arguments = ["plugin", "list", "--json", "--plugin-path", built.to_str().unwrap(), "--plugin-path", path];
    let listed = behaviour::program::command(arguments).env("MISBEHAVE_RECORD", "name").output().unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let refused = listed["refused"][0].as_str().unwrap();
    assert!(refused.starts_with("two plugins are named \"offsite-tuning\": ") && refused.contains(FILE), "{refused}");
}

#[test]
fn nothing_of_a_library_runs_before_its_digest_is_right() {
    let folder = scratch();
    let witness = folder.path().join("witness");
    let pinned = |digest: &str| {
        let pins = format!("plugins.pins={{ test-misbehaving = \"{digest}\" }}");
        let case = Case::new("62", 0, "importance", &[ESTIMATOR, &pins]);
        case.with("MISBEHAVE_AT_LOAD", "write").with("MISBEHAVE_FILE", witness.to_str().unwrap())
    };
    let other = pinned(&"0".repeat(64)).run(&folder.path().join("a"));
    assert_eq!(other.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&other.stderr).contains("plugins.pins") && !witness.exists());
    let right = pinned(&behaviour::tree::digest(&built())).run(&folder.path().join("b"));
    assert_eq!(right.status.code(), Some(0));
    assert!(witness.exists(), "the witness would have been written");
}

#[test]
fn a_library_that_is_replaced_while_it_is_loaded_changes_nothing() {
    let folder = scratch();
    let path = library(folder.path(), "own", &built());
    let info = scaleot(["plugin", "info", "test-misbehaving", "--json", "--plugin-path", path.to_str().unwrap()]);
    let digest = info.expect(0).json()["source"]["sha256"].as_str().unwrap().to_owned();
    assert_eq!(digest, behaviour::tree::digest(&built()));
    let case = Case::new("70", 0, "importance", &[ESTIMATOR]).library(&path);
    let case = case.with("MISBEHAVE_AT_LOAD", "replace").with("MISBEHAVE_FILE", path.to_str().unwrap());
    let output = case.run(&folder.path().join("run"));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read(&path).unwrap(), b"no library any more");
}
