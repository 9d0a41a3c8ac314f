//! Plugins of other versions of the contract: a recorded one of this generation works, a newer one and those of other generations are refused.

use crate::transcript::Transcript;
use behaviour::{recorded_plugin, scaleot, scratch, tree::digest, verb};
use std::path::Path;

const LIBRARY: &str = "liboffsite_tuning.so";
const RECORDED: &str = "7765a99bfeabfd18ab0981720e6ea6faea1c3e2f3d3445397a23d5b0dce6d7cb";

#[test]
fn a_plugin_of_api_2_0_still_does_its_work() {
    let folder = scratch();
    let library = folder.path().join(LIBRARY);
    let bytes = recorded_plugin("2.0");
    assert_eq!(digest(&bytes), RECORDED);
    std::fs::write(&library, &bytes).unwrap();
    let path = library.to_str().unwrap();
    let info = scaleot(["plugin", "info", "offsite-tuning", "--json", "--plugin-path", path]).expect(0).json();
    assert_eq!(info["record"]["api_version"], "2.0.0");
    scaleot(["plugin", "check", "offsite-tuning", "--plugin-path", path]).expect(0);
    // The config's strategies are this plugin's: uniform importance, layers dropped, outer layers trained.
    let run = folder.path().join("run");
    let report = verb("run", &run, &["--json", "--plugin-path", path]).expect(0).json();
    for section in ["importance", "replace", "adapter"] {
        assert_eq!(report["plugins"][section]["sha256"], RECORDED, "{section}");
        assert_eq!(report["plugins"][section]["pinned"], "no", "{section}");
    }
    assert!(!report["rows"].as_array().unwrap().is_empty());
}

/// The library with the API version that it says changed, in all places.
fn saying(version: &str) -> Vec<u8> {
    let mut bytes = recorded_plugin("2.0");
    let own = b"2.0.0";
    let places: Vec<usize> = (0..bytes.len() - own.len()).filter(|&at| bytes[at..].starts_with(own)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + own.len()].copy_from_slice(version.as_bytes());
    }
    bytes
}

#[test]
fn a_plugin_of_a_newer_or_another_api_is_refused_in_a_sentence() {
    let folder = scratch();
    let library = folder.path().join(LIBRARY);
    let mut said = Transcript::new(folder.path());
    let refused = |library: &Path| {
        let run = folder.path().join("run");
        let outcome = verb("importance", &run, &["--plugin-path", library.to_str().unwrap()]);
        assert!(!run.join("importance").exists());
        outcome
    };
    for (case, version) in [("newer", "2.9.0"), ("another generation", "3.0.0"), ("before the first", "0.9.0")] {
        std::fs::write(&library, saying(version)).unwrap();
        said.case(case, 4, refused(&library));
    }
    std::fs::write(&library, recorded_plugin("1.0")).unwrap();
    said.case("the generation before, as it was built", 4, refused(&library));
    said.assert("other_api_versions");
}
