//! The `tch` tier through the built program: `plugins/adaround`, a library with its own `tch` on the program's libtorch.

use behaviour::{Outcome, command, outcome, repository, scratch, verb};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const LIBRARY: &str = "libadaround.so";
const MARK: &[u8] = b"scaleot-plugin-libtorch=2.11\0";

/// The plugin's library. Its workspace is its own, and so is its target folder: beside the program it would count as shipped.
fn library() -> &'static Path {
    static PLUGIN: OnceLock<PathBuf> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        let target = repository().join("target/tch-tier");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--offline", "--quiet", "--manifest-path", "plugins/adaround/Cargo.toml", "--target-dir"]);
        assert!(cargo.arg(&target).current_dir(repository()).status().expect("cargo").success());
        target.join("debug").join(LIBRARY)
    })
}

/// A run of the small model whose kept layers get 3 bits.
fn run(strategy: &str, output: &Path) -> serde_json::Value {
    let used = format!("compress.use={strategy}");
    let plugin = ["--json", "--plugin-path", library().to_str().unwrap()];
    let compressed = [&used, "compress.options={ bits = 3 }", "replace.count=0", "evaluate.columns=[\"emulator\"]"];
    verb("run", output, &[&plugin[..], &compressed[..]].concat()).expect(0).json()
}

/// Nats per token of the emulator on text.
fn loss(report: &serde_json::Value) -> f64 {
    let rows = report["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["metric"] == "nll").unwrap_or_else(|| panic!("{report}"));
    row["figures"]["emulator"]["mean"].as_f64().unwrap_or_else(|| panic!("{row}"))
}

#[test]
fn a_plugin_learns_on_the_programs_tensors_with_gradients_of_its_own() {
    let folder = scratch();
    let learned = run("adaround/learned-rounding", &folder.path().join("learned"));
    let nearest = run("offsite-tuning/fake-quantise", &folder.path().join("nearest"));
    // The same bits; only which side a weight goes to differs.
    assert!(loss(&learned) < loss(&nearest) - 0.02, "{} {}", loss(&learned), loss(&nearest));
    assert!(learned["plugins"]["compress"]["sha256"].is_string());
}

fn info(library: &Path) -> Outcome {
    let path = library.to_str().unwrap();
    outcome(&mut command(["plugin", "info", "adaround", "--json", "--plugin-path", path]))
}

#[test]
fn it_tells_its_libtorch() {
    assert_eq!(info(library()).expect(0).json()["record"]["libtorch"], "2.11");
}

/// The library with these bytes in the place of its mark.
fn marked(instead: &[u8], folder: &Path) -> PathBuf {
    let mut bytes = std::fs::read(library()).unwrap();
    let places: Vec<usize> = (0..bytes.len() - MARK.len()).filter(|&at| bytes[at..].starts_with(MARK)).collect();
    assert!(!places.is_empty(), "the mark is in the library");
    for at in places {
        bytes[at..at + instead.len()].copy_from_slice(instead);
    }
    let path = folder.join(LIBRARY);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn another_libtorch_and_an_unknown_one_are_refused_before_loading() {
    for (mark, says) in [
        (
            "scaleot-plugin-libtorch=2.10\0",
            "it was built for libtorch 2.10, this host runs libtorch 2.11; rebuild it with this host's scaleot-plugin-api",
        ),
        (
            "scaleot-plugin-nothing==",
            "it links libtorch, but does not say which; build it with the feature `tch` of this host's scaleot-plugin-api \
             (libtorch 2.11)",
        ),
    ] {
        let folder = scratch();
        let refused = info(&marked(mark.as_bytes(), folder.path())).expect(4);
        assert!(refused.stderr.trim_end().ends_with(says), "{}", refused.stderr);
    }
}
