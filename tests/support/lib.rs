//! Pieces that the behaviour tests share: the built program, scratch folders, whole folders as digests, small models made on the spot.

pub mod bundle_file;
pub mod model;
pub mod program;
pub mod tree;

pub use program::{
    Outcome, command, library, marking_plugin, misbehaving_plugin, outcome, program, recorded_plugin, repository,
    scaleot, start, test_plugin,
};
pub use tree::{identity, identity_of_stages, tree};

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A config that runs in seconds, on the trained model of 8 layers in `fixtures`.
pub const CONFIG: &str = "configs/ci.toml";

/// A folder that is removed at the end.
pub fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("scaleot-test-").tempdir().expect("a scratch folder")
}

/// The overrides that put a run of [`CONFIG`] into `output` and keep it short.
pub fn quick(output: &Path) -> Vec<String> {
    let mut overrides = vec![format!("output={}", output.display())];
    overrides.extend(["evaluate.limit=4", "runtime.threads=1"].map(str::to_owned));
    overrides
}

/// The arguments without an override whose key is set again behind it: the program takes each key once.
pub fn each_key_once(arguments: Vec<String>) -> Vec<String> {
    let key = |text: &str| text.split_once('=').map(|(key, _)| key.to_owned()).filter(|key| !key.starts_with('-'));
    let keys: Vec<Option<String>> = arguments.iter().map(|text| key(text)).collect();
    let again = |index: usize| keys[index].is_some() && keys[index + 1..].contains(&keys[index]);
    let kept = arguments.into_iter().enumerate().filter(|(index, _)| !again(*index));
    kept.map(|(_, text)| text).collect()
}

/// A verb on [`CONFIG`] in `output`, with more arguments, which may set what [`quick`] sets.
pub fn verb(verb: &str, output: &Path, more: &[&str]) -> Outcome {
    let mut arguments = vec![verb.to_owned(), CONFIG.to_owned()];
    arguments.extend(quick(output));
    arguments.extend(more.iter().map(ToString::to_string));
    scaleot(each_key_once(arguments))
}

/// A finished run of [`CONFIG`], made once a test program; nobody may write into it.
pub fn finished_run() -> &'static Path {
    static RUN: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, output) = RUN.get_or_init(|| {
        let folder = scratch();
        let output = folder.path().join("run");
        verb("run", &output, &[]).expect(0);
        (folder, output)
    });
    output
}

/// A copy of a folder.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the copy's folder");
    for entry in std::fs::read_dir(from).expect("a folder to copy") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("a copy");
        }
    }
}
