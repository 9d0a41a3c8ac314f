//! The program under test: built once a test program, run as a person would.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// The repository's root: configs have paths from there.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests' parent")
}

/// The built program; its plugins lie beside it.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // The whole workspace, as `make test` built it: a part of it would be built anew with other features.
        build(&[]).join("scaleot")
    })
}

/// The objectives' plugin of `tests/plugin`, built once a test program.
pub fn test_plugin() -> &'static Path {
    static PLUGIN: OnceLock<PathBuf> = OnceLock::new();
    PLUGIN.get_or_init(|| build(&["--example", "test_objectives"]).join("examples/libtest_objectives.so"))
}

/// The plugin of `tests/plugin` that makes the file named by `SCALEOT_TEST_MARK` when it is loaded.
pub fn marking_plugin() -> &'static Path {
    static PLUGIN: OnceLock<PathBuf> = OnceLock::new();
    PLUGIN.get_or_init(|| build(&["--example", "test_constructor"]).join("examples/libtest_constructor.so"))
}

/// The plugin `offsite-tuning` as recorded for a version of the plugin API, such as `2.0`, unpacked.
pub fn recorded_plugin(api: &str) -> Vec<u8> {
    let packed = repository().join(format!("tests/fixtures/plugins/api-{api}/liboffsite_tuning.so.gz"));
    let mut library = Vec::new();
    let packed = std::fs::File::open(packed).expect("the fixture");
    flate2::read::GzDecoder::new(packed).read_to_end(&mut library).expect("a whole archive");
    library
}

/// The plugin of `tests/plugin/misbehaving`, built once a test program.
pub fn misbehaving_plugin() -> &'static Path {
    static PLUGIN: OnceLock<PathBuf> = OnceLock::new();
    PLUGIN.get_or_init(|| build(&["--example", "test_misbehaving"]).join("examples/libtest_misbehaving.so"))
}

/// Builds the workspace, or what `only` names of it; gives the folder of the profile that this test was built in.
fn build(only: &[&str]) -> PathBuf {
    // This test is target/<profile>/deps/<name>.
    let this = std::env::current_exe().expect("the test program");
    let folder = this.parent().and_then(Path::parent).expect("the target folder").to_path_buf();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--offline", "--quiet", "--workspace"]).args(only).current_dir(repository());
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo").success(), "the workspace does not build");
    folder
}

/// A plugin's library, as built.
pub fn library(file: &str) -> PathBuf {
    program().with_file_name(file)
}

/// The outcome of a run of the program.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// None when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Itself, if the exit status is this one.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// Runs the program in the repository's root.
pub fn scaleot<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Outcome {
    outcome(&mut command(arguments))
}

/// Runs a command of [`command`] that a test has added to.
pub fn outcome(command: &mut Command) -> Outcome {
    let output = command.output().expect("the program runs");
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Starts the program and leaves it running.
pub fn start<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Child {
    command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

/// The program with these arguments. Plugins that a test names by `--plugin-path` are trusted, unless it says otherwise.
pub fn command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(program());
    let arguments: Vec<OsString> = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--plugin-path") && !has("--unpinned") {
        command.args(["--unpinned", "allow"]);
    }
    command.args(arguments).current_dir(repository()).stdin(Stdio::null());
    command.env_remove("SCALEOT_PLUGIN_PATH").env("OMP_NUM_THREADS", "1");
    // Plugins that somebody installed for himself are no part of a test.
    command.env("XDG_DATA_HOME", "/var/empty/scaleot-tests");
    command
}
