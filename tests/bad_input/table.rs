//! Runs cases and puts down what each said.

use behaviour::{finished_run, program::command, tree};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A table of cases and what came of them.
pub struct Table {
    /// Holds the inputs and a finished run, which no case may change.
    pub folder: tempfile::TempDir,
    pub run: PathBuf,
    said: String,
    /// Words of messages that differ from machine to machine, and the word in their place.
    filters: Vec<(String, &'static str)>,
}

impl Table {
    pub fn new() -> Self {
        let folder = behaviour::scratch();
        let run = folder.path().join("run");
        behaviour::copy(finished_run(), &run);
        let filters = vec![
            (folder.path().display().to_string(), "SCRATCH"),
            (behaviour::program().parent().unwrap().display().to_string(), "BUILT"),
            (behaviour::repository().display().to_string(), "REPOSITORY"),
        ];
        Self { folder, run, said: String::new(), filters }
    }

    /// A file in the scratch folder.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A verb on the ordinary config and the finished run, with one more argument.
    pub fn verb(&mut self, name: &str, code: i32, verb: &str, more: &[&str]) {
        let mut arguments = vec![verb.to_owned(), behaviour::CONFIG.to_owned()];
        arguments.extend(behaviour::quick(&self.run));
        arguments.extend(more.iter().map(ToString::to_string));
        self.case(name, code, behaviour::each_key_once(arguments));
    }

    /// Any command line.
    #[track_caller]
    pub fn case<A: Into<OsString>>(&mut self, name: &str, code: i32, arguments: impl IntoIterator<Item = A>) {
        let before = tree(&self.run);
        let began = Instant::now();
        let output = command(arguments.into_iter().map(Into::into)).output().unwrap();
        let took = began.elapsed();
        let mut stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{name}: {stderr}");
        assert!(!stderr.contains("panicked") && !stderr.contains("RUST_BACKTRACE"), "{name}: {stderr}");
        assert_eq!(tree(&self.run), before, "{name}: the run folder changed");
        // Generous: other tests run beside this one.
        assert!(took < Duration::from_secs(20), "{name}: took {took:?}");
        assert!(output.stdout.is_empty(), "{name}: results in spite of an error");
        for (path, word) in &self.filters {
            stderr = stderr.replace(path, word);
        }
        // Log lines say how far it came; the error says why it stopped.
        let lines = stderr.lines().skip_while(|line| !line.starts_with("error: "));
        let message: Vec<&str> = lines.collect();
        assert!(!message.is_empty(), "{name}: no error is told");
        let message = comparable(&message.join("\n  "));
        self.said += &format!("{name}\n  exit {code}\n  {message}\n");
    }

    /// Everything said, for the snapshot.
    pub fn said(&self) -> &str {
        &self.said
    }
}

/// A copy of the fixture's model that a case may spoil.
pub fn model_in(folder: &Path, name: &str) -> PathBuf {
    let model = folder.join(name);
    behaviour::copy(&behaviour::repository().join("tests/fixtures/ci-model"), &model);
    model
}

/// Without what differs from one processor or release to the next: digests of trained weights, ratios, versions.
fn comparable(message: &str) -> String {
    let message = message.replace(&format!("scaleot {}", env!("CARGO_PKG_VERSION")), "scaleot VERSION");
    let mut plain = String::new();
    for word in message.split_inclusive([' ', ',', ':', ';', ')']) {
        let core = word.trim_end_matches([' ', ',', ':', ';', ')']);
        let is_digest =
            core.len() == 64 && core.bytes().all(|byte| byte.is_ascii_hexdigit()) && !core.starts_with("0000");
        let is_short_digest = plain.ends_with("sha256 ") && core.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_ratio = plain.ends_with("||shipped|| = ") || plain.ends_with("the scale of its layer = ");
        if is_digest || is_short_digest || is_ratio {
            plain += if is_ratio { "RATIO" } else { "DIGEST" };
            plain += &word[core.len()..];
        } else {
            plain += word;
        }
    }
    plain
}
