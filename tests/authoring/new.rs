//! `plugin new`: each kind builds offline, keeps the contract, loads, and one of them does its work in a run.

use crate::transcript::{Transcript, within};
use behaviour::{copy, repository, scaleot, scratch, verb};
use std::path::{Path, PathBuf};
use std::process::Command;

const KINDS: [(&str, &str); 4] =
    [("importance", "probe"), ("replace", "bottleneck"), ("compress", "low-rank"), ("adapter", "low-rank-delta")];

/// Runs cargo in a new crate; all of them share their dependencies, and keep them for the next time.
fn cargo(folder: &Path, arguments: &[&str]) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(arguments).args(["--offline", "--quiet"]).current_dir(folder).env("CARGO_TARGET_DIR", target());
    // Nobody debugs them.
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "false").env("CARGO_INCREMENTAL", "0");
    let output = cargo.output().expect("cargo");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-plugins")
}

/// The crate of a kind, written anew, in a place that stays: where it is as it was, cargo builds nothing again.
fn written(kind: &str) -> PathBuf {
    let name = format!("written-{kind}");
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
    let fresh = scratch();
    let folder = fresh.path().join(&name);
    let said = scaleot(["plugin", "new", &name, "--kind", kind, "--json", "--path", folder.to_str().unwrap()]);
    let said = said.expect(0).json();
    let files: Vec<&str> = said["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    assert_eq!(files, ["Cargo.toml", "README.md", ".gitignore", "src/lib.rs", "tests/conformance.rs"]);
    let same = |file: &&str| std::fs::read(kept.join(file)).ok() == std::fs::read(folder.join(file)).ok();
    if !files.iter().all(same) {
        let _ = std::fs::remove_dir_all(&kept);
        copy(&folder, &kept);
    }
    kept
}

#[test]
fn each_kind_builds_keeps_the_contract_and_loads() {
    let debug = target().join("debug");
    let debug = debug.to_str().unwrap();
    let mut sections = Vec::new();
    for (kind, strategy) in KINDS {
        let folder = written(kind);
        cargo(&folder, &["test"]);
        cargo(&folder, &["build"]);
        let name = format!("written-{kind}");
        let checked = scaleot(["plugin", "check", &name, "--json", "--plugin-path", debug]).expect(0).json();
        assert!(checked["checks"].as_array().unwrap().len() > 10, "{checked}");
        assert!(checked["source"]["path"].as_str().unwrap().ends_with(&format!("libwritten_{kind}.so")), "{checked}");
        sections.push(format!("{kind}.use={name}/{strategy}"));
    }
    // All four at work in one run of the small model.
    let output = scratch();
    let mut more = vec!["--json", "evaluate.limit=2", "--plugin-path", debug];
    more.extend(sections.iter().map(String::as_str));
    let report = verb("run", &output.path().join("run"), &more).expect(0).json();
    for (kind, strategy) in KINDS {
        assert_eq!(report["strategies"][kind], format!("written-{kind}/{strategy}"), "{report}");
        assert_eq!(report["plugins"][kind]["pinned"], "no", "{report}");
    }
}

#[test]
fn what_cannot_be_written_is_refused_and_nothing_is() {
    let folder = scratch();
    let mut said = Transcript::new(folder.path());
    let new = |more: &[&str]| within(folder.path(), &[&["plugin", "new"], more].concat());
    for name in ["", "Upper", "under_score", "1st", "dash-", "../out", "serde", "match", &"a".repeat(61)] {
        said.case(&format!("name {name:?}"), 2, new(&[name, "--kind", "replace"]));
    }
    said.case("no kind", 2, new(&["fine"]));
    said.case("no such kind", 2, new(&["fine", "--kind", "report"]));
    said.case("no plugin-api there", 2, new(&["fine", "--kind", "replace", "--api", "."]));
    std::fs::create_dir(folder.path().join("taken")).unwrap();
    said.case("the folder exists", 2, new(&["taken", "--kind", "replace"]));
    said.case("no folder around it", 2, new(&["fine", "--kind", "replace", "--path", "no/such/place"]));
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["taken"]);
    assert_eq!(std::fs::read_dir(folder.path().join("taken")).unwrap().count(), 0);
    said.assert("not_written");
}

#[test]
fn the_contract_comes_from_where_it_was_said() {
    let folder = scratch();
    let api = |name: &str, api: &str| {
        within(folder.path(), &["plugin", "new", name, "--kind", "adapter", "--api", api]).expect(0);
        std::fs::read_to_string(folder.path().join(name).join("Cargo.toml")).unwrap()
    };
    let own = format!("path = \"{}\"", repository().join("plugin-api").canonicalize().unwrap().display());
    assert!(api("of-a-checkout", repository().to_str().unwrap()).contains(&own));
    assert!(api("of-the-crate", repository().join("plugin-api").to_str().unwrap()).contains(&own));
    let git = api("of-git", "https://example.org/scaleot.git#abc123");
    let expected = "scaleot-plugin-api = { git = \"https://example.org/scaleot.git\", rev = \"abc123\" }";
    assert!(git.contains(expected), "{git}");
    assert!(git.contains(&expected.replace("api", "conformance")), "{git}");
    let published = api("of-a-registry", "2.0");
    assert!(published.contains("scaleot-plugin-api = { version = \"2.0\" }"), "{published}");
    assert!(published.contains("scaleot-plugin-conformance = { version = \"2.0\" }"), "{published}");
}
