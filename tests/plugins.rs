//! Plugins as files: found, loaded, pinned, or refused before a byte of them runs.

use behaviour::{Outcome, library, scaleot, scratch, tree::digest, verb};
use std::path::Path;

const LIBRARY: &str = "liboffsite_tuning.so";

/// `plugin <arguments>` with one search path in front.
fn plugin(path: &Path, arguments: &[&str]) -> Outcome {
    let mut all = vec!["plugin".to_owned(), "--plugin-path".to_owned(), path.display().to_string()];
    all.extend(arguments.iter().map(ToString::to_string));
    scaleot(all)
}

/// A verb that needs the plugin, with this file in place of the built one.
fn with_library(bytes: &[u8], more: &[&str]) -> (tempfile::TempDir, Outcome) {
    let folder = scratch();
    let file = folder.path().join(LIBRARY);
    std::fs::write(&file, bytes).unwrap();
    let run = folder.path().join("run");
    let path = ["--plugin-path", file.to_str().unwrap()];
    let outcome = verb("importance", &run, &[&path[..], more].concat());
    assert!(!run.join("importance").exists() || outcome.code == Some(0));
    (folder, outcome)
}

fn built() -> Vec<u8> {
    std::fs::read(library(LIBRARY)).unwrap()
}

#[test]
fn a_library_is_loaded_and_its_strategies_do_the_work() {
    let (folder, outcome) = with_library(&built(), &[]);
    outcome.expect(0);
    let listed = plugin(&folder.path().join(LIBRARY), &["list", "--json"]).expect(0).json();
    let names: Vec<&str> =
        listed["plugins"].as_array().unwrap().iter().map(|p| p["record"]["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"offsite-tuning") && names.contains(&"scaleot"), "{names:?}");
    let info = plugin(&folder.path().join(LIBRARY), &["info", "offsite-tuning"]).expect(0).stdout;
    assert!(info.contains(&digest(&built())), "{info}");
    assert!(info.contains("offsite-tuning/layer-drop (for [replace])"), "{info}");
    let info = plugin(folder.path(), &["info", "scaleot"]).expect(0).stdout;
    assert!(info.contains("rank_ratio") && info.contains("number > 0.0 ≤ 1.0") && info.contains("0.8"), "{info}");
}

#[test]
fn every_built_plugin_keeps_the_contract() {
    for name in ["offsite-tuning", "scaleot"] {
        let checked = scaleot(["plugin", "check", name, "--json"]).expect(0).json();
        let checks = checked["checks"].as_array().unwrap();
        assert!(checks.len() > 10 && checks.iter().all(|check| check["broken"].is_null()), "{checked}");
    }
}

#[test]
fn a_truncated_library_is_refused_and_not_by_a_signal() {
    let bytes = built();
    for kept in [0, 3_000, 100_000, bytes.len() / 2, bytes.len() - 1] {
        let (_folder, outcome) = with_library(&bytes[..kept], &[]);
        let outcome = outcome.expect(4);
        assert!(outcome.stderr.contains("is refused before loading"), "{kept}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(&digest(&bytes[..kept])), "{kept}: {}", outcome.stderr);
    }
}

/// The plugin with its exported symbol renamed: a library like any other.
fn without_symbol() -> Vec<u8> {
    let mut bytes = built();
    let symbol = b"_1as_0lib_1header_0root_bmodule_bloader";
    for at in 0..bytes.len() - symbol.len() {
        if bytes[at..].starts_with(symbol) {
            bytes[at] = b'x';
        }
    }
    bytes
}

#[test]
fn what_is_no_plugin_is_refused_by_name() {
    let cases: [(&[u8], &str); 3] = [
        (b"#!/bin/sh\necho hello\n", "does not start with the ELF mark"),
        (b"", "the file is empty"),
        (&without_symbol(), "exports no ScaleOT plugin"),
    ];
    for (bytes, reason) in cases {
        let (_folder, outcome) = with_library(bytes, &[]);
        let outcome = outcome.expect(4);
        assert!(outcome.stderr.contains(reason), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(LIBRARY), "{}", outcome.stderr);
    }
}

#[test]
fn a_pin_lets_one_library_in_and_no_other() {
    let bytes = built();
    let pin = format!("plugins.pins={{ offsite-tuning = \"{}\" }}", digest(&bytes));
    with_library(&bytes, &[&pin]).1.expect(0);
    // The pin is looked at before anything else is: a cut library is refused for its digest, not for its form.
    let cut = with_library(&bytes[..bytes.len() - 1], &[&pin]).1.expect(4);
    assert!(cut.stderr.contains("plugins.pins"), "{}", cut.stderr);
    // One bit, in places that the loader does not look at.
    for at in [bytes.len() / 3, bytes.len() / 2, bytes.len() - 100] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        let outcome = with_library(&flipped, &[&pin]).1.expect(4);
        for part in [digest(&flipped), digest(&bytes), "plugins.pins".to_owned()] {
            assert!(outcome.stderr.contains(&part), "{}", outcome.stderr);
        }
    }
}

#[test]
fn a_pinned_plugin_cannot_come_under_another_file_name() {
    let folder = scratch();
    std::fs::write(folder.path().join("libother.so"), built()).unwrap();
    let pin = format!("plugins.pins={{ offsite-tuning = \"{}\" }}", "0".repeat(64));
    let path = folder.path().to_str().unwrap();
    let more = ["importance.use=other/uniform", &pin, "--plugin-path", path];
    let outcome = verb("importance", &folder.path().join("run"), &more).expect(4);
    assert!(outcome.stderr.contains("plugin offsite-tuning"), "{}", outcome.stderr);
}

#[test]
fn one_bad_library_does_not_stop_the_list() {
    let folder = scratch();
    let mut cut = built();
    cut.truncate(cut.len() - 1);
    std::fs::write(folder.path().join("libbroken.so"), &cut).unwrap();
    let listed = plugin(folder.path(), &["list", "--json"]).expect(0).json();
    assert_eq!(listed["refused"].as_array().unwrap().len(), 1, "{listed}");
    assert!(listed["refused"][0].as_str().unwrap().contains("libbroken.so"), "{listed}");
    assert!(listed["plugins"].as_array().unwrap().len() >= 2, "{listed}");
    let text = plugin(folder.path(), &["list"]).expect(0).stdout;
    assert!(text.contains("refused: plugin file") && text.contains("offsite-tuning"), "{text}");
}

#[test]
fn an_unknown_plugin_or_strategy_names_what_there_is() {
    let folder = scratch();
    let run = folder.path().join("run");
    let outcome = verb("importance", &run, &["importance.use=ofsite-tuning/uniform"]).expect(2);
    for part in ["importance.use", "libofsite_tuning.so", "offsite-tuning", "scaleot"] {
        assert!(outcome.stderr.contains(part), "{part}: {}", outcome.stderr);
    }
    let outcome = verb("importance", &run, &["importance.use=offsite-tuning/unifrom"]).expect(2);
    assert!(outcome.stderr.contains("offsite-tuning/uniform"), "{}", outcome.stderr);
    let outcome = verb("importance", &run, &["importance.use=offsite-tuning/layer-drop"]).expect(2);
    for part in ["importance.use", "strategy of `replace`", "expected one of `importance`"] {
        assert!(outcome.stderr.contains(part), "{part}: {}", outcome.stderr);
    }
}

#[test]
fn an_option_fails_like_any_other_key() {
    let folder = scratch();
    let use_it = "compress.use=scaleot/selective-rank";
    let cases = [
        (
            "compress.options.rank_ration=0.5",
            "`compress.options.rank_ration`: unknown; the nearest valid name is `rank_ratio`",
        ),
        ("compress.options.rank_ratio=1.5", "`compress.options.rank_ratio`: found 1.5, expected"),
        ("compress.options.storage=sparse", "`compress.options.storage`: found"),
    ];
    for (option, message) in cases {
        let outcome = verb("run", &folder.path().join("run"), &[use_it, option]).expect(2);
        assert!(outcome.stderr.contains(message), "{}", outcome.stderr);
    }
}
