//! Suite files on the tests' model, and what a suite leaves behind.

use behaviour::{Outcome, program::command, repository, scaleot};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Overrides that keep every cell short.
pub const QUICK: [&str; 4] = ["evaluate.limit=8", "evaluate.text=[]", "runtime.threads=1", "tune.steps=6"];

/// A scratch folder with a suite in it.
pub struct Suite {
    pub folder: tempfile::TempDir,
}

impl Suite {
    /// Writes `suite.toml`; METHOD in the text stands for the ordinary config.
    pub fn new(text: &str) -> Self {
        let folder = behaviour::scratch();
        let suite = Self { folder };
        suite.rewrite(text);
        suite
    }

    pub fn rewrite(&self, text: &str) {
        let config = repository().join(behaviour::CONFIG);
        let text = text.replace("METHOD", config.to_str().unwrap());
        let head = format!("version = 1\noutput = \"{}\"\ntasks = [\"arc_easy\"]\n", self.output().display());
        std::fs::write(self.path(), head + &text).unwrap();
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("suite.toml")
    }

    pub fn output(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    pub fn run(&self, cell: &str) -> PathBuf {
        self.output().join("runs").join(cell)
    }

    fn arguments(&self, verb: &str, more: &[&str]) -> Vec<String> {
        let mut arguments = vec![verb.to_owned(), self.path().display().to_string()];
        arguments.extend(QUICK.iter().chain(more).map(ToString::to_string));
        behaviour::each_key_once(arguments)
    }

    /// A verb on the suite.
    pub fn verb(&self, verb: &str, more: &[&str]) -> Outcome {
        scaleot(self.arguments(verb, more))
    }

    /// The same, not run yet.
    pub fn command(&self, verb: &str, more: &[&str]) -> Command {
        command(self.arguments(verb, more))
    }

    /// The record that `compare` or `sweep` wrote.
    pub fn record(&self, verb: &str) -> Value {
        let path = self.output().join(format!("{verb}.json"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// Names of stages that cells said they made (with their time), not that they found.
    pub fn made(stderr: &str, stage: &str) -> usize {
        stderr.lines().filter(|line| line.contains(&format!("] {stage} ("))).count()
    }
}

/// The digest of a stage's inputs, as its folder says.
#[track_caller]
pub fn inputs(run: &Path, stage: &str) -> String {
    let path = run.join(stage).join("manifest.json");
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let manifest: Value = serde_json::from_slice(&text).unwrap();
    manifest["body"]["inputs"].as_str().unwrap().to_owned()
}
