//! Plugin files that are loaded: pinned, locked, beside the program, or allowed; told apart before any of their code runs.

use crate::transcript::{Transcript, within};
use behaviour::{
    CONFIG, Outcome, command, library, marking_plugin, outcome, quick, repository, scratch, tree::digest, verb,
};
use std::path::{Path, PathBuf};

const LIBRARY: &str = "libtest_constructor.so";

/// A folder with the plugin that marks its loading, and the place of the mark.
struct Marked {
    folder: tempfile::TempDir,
}

impl Marked {
    fn new() -> Self {
        let folder = scratch();
        std::fs::copy(marking_plugin(), folder.path().join(LIBRARY)).unwrap();
        Self { folder }
    }

    fn mark(&self) -> PathBuf {
        self.folder.path().join("mark")
    }

    /// Runs the program with the plugin in reach; tells whether the plugin's code ran.
    fn run(&self, arguments: &[&str]) -> (Outcome, bool) {
        let _ = std::fs::remove_file(self.mark());
        let mut command = command(arguments);
        let found = outcome(command.current_dir(self.folder.path()).env("SCALEOT_TEST_MARK", self.mark()));
        (found, self.mark().exists())
    }

    /// `importance` by the plugin.
    fn importance(&self, more: &[&str]) -> (Outcome, bool) {
        let repository = repository().display().to_string();
        let mut arguments = vec!["importance".to_owned(), format!("{repository}/{CONFIG}")];
        arguments.extend(quick(&self.folder.path().join("run")));
        arguments.push(format!("model.path={repository}/tests/fixtures/ci-model"));
        arguments.push(format!("data.folder={repository}/tests/fixtures/tasks"));
        arguments.push(format!("public_data.text=[\"{repository}/tests/fixtures/text/hellaswag-train.txt\"]"));
        arguments.push("importance.use=test-constructor/even".to_owned());
        arguments.extend(more.iter().map(ToString::to_string));
        self.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

#[test]
fn nothing_of_an_unpinned_plugin_runs_unless_it_is_allowed() {
    let marked = Marked::new();
    let by_config = "plugins.paths=[\".\"]";
    let mut said = Transcript::new(marked.folder.path());
    let (refused, ran) = marked.importance(&[by_config]);
    assert!(!ran);
    said.case("by default", 4, refused);
    let (refused, ran) = marked.importance(&["--plugin-path", ".", "--unpinned", "refuse"]);
    assert!(!ran);
    said.case("by name", 4, refused);
    let wrong = format!("plugins.pins={{ test-constructor = \"{}\" }}", "0".repeat(64));
    let (refused, ran) = marked.importance(&[by_config, &wrong, "--unpinned", "allow"]);
    assert!(!ran);
    said.case("with another digest", 4, refused);
    said.assert("unpinned");
    // Allowed, or pinned, it runs: the mark can be made.
    assert!(marked.importance(&[by_config, "--unpinned", "allow"]).1);
    let pin = digest(&std::fs::read(marked.folder.path().join(LIBRARY)).unwrap());
    let (done, ran) = marked.importance(&[by_config, &format!("plugins.pins={{ test-constructor = \"{pin}\" }}")]);
    done.expect(0);
    assert!(ran);
    let record = std::fs::read(marked.folder.path().join("run/plugins.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["importance"]["sha256"], pin.as_str());
    assert_eq!(record["importance"]["pinned"], "config");
    assert_eq!(record["importance"]["path"], format!("./{LIBRARY}"));
    assert_eq!(record["importance"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(record["replace"]["pinned"], "program");
}

#[test]
fn looking_at_a_packed_plugin_does_not_run_it() {
    let marked = Marked::new();
    let runs = |arguments: &[&str]| {
        let (found, ran) = marked.run(arguments);
        (found.expect(0).stdout, ran)
    };
    // Packing asks the library what it is.
    assert!(runs(&["plugin", "pack", LIBRARY, "--publisher", "a test", "--license", "Apache-2.0"]).1);
    let (listed, ran) = runs(&["plugin", "list", "--plugin-path", "."]);
    assert!(!ran && listed.contains("not loaded"), "{listed}");
    let (info, ran) = runs(&["plugin", "info", "test-constructor", "--plugin-path", "."]);
    assert!(!ran && info.contains("not loaded") && info.contains("publisher a test"), "{info}");
    assert!(!runs(&["plugin", "add", LIBRARY]).1);
    std::fs::copy(repository().join(CONFIG), marked.folder.path().join("run.toml")).unwrap();
    let (locked, ran) = runs(&["plugin", "lock", "run.toml", "importance.use=test-constructor/even"]);
    assert!(!ran && locked.contains("test-constructor 0.1.0 sha256"), "{locked}");
    assert!(runs(&["plugin", "check", "test-constructor"]).1);
}

#[test]
fn a_lock_file_lets_in_what_it_names_and_nothing_else() {
    let folder = scratch();
    let path = |name: &str| folder.path().join(name);
    // A config outside the repository, whose paths start at the repository's root all the same.
    std::fs::copy(repository().join(CONFIG), path("run.toml")).unwrap();
    std::fs::create_dir(path("plugins")).unwrap();
    let file = path("plugins").join("liboffsite_tuning.so");
    std::fs::copy(library("liboffsite_tuning.so"), &file).unwrap();
    let run = |arguments: &[&str]| {
        let config = path("run.toml").display().to_string();
        let mut all = vec![arguments[0].to_owned()];
        all.extend(arguments[1..].iter().map(ToString::to_string));
        all.extend([config, format!("plugins.paths=[\"{}\"]", path("plugins").display())]);
        if arguments[0] == "importance" {
            all.extend(quick(&path("run")));
        }
        outcome(&mut command(all))
    };
    let mut said = Transcript::new(folder.path());
    said.case("not pinned", 4, run(&["importance"]));
    run(&["plugin", "lock"]).expect(0);
    run(&["importance"]).expect(0);
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(path("run/plugins.json")).unwrap()).unwrap();
    assert_eq!(record["importance"]["pinned"], "lock");
    let whole = std::fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    std::fs::write(&file, &flipped).unwrap();
    said.case("one bit changed", 4, run(&["importance"]));
    // A flag does not open what a lock closes.
    let allowed = outcome(&mut command([
        "importance",
        path("run.toml").to_str().unwrap(),
        "--unpinned",
        "allow",
        &format!("plugins.paths=[\"{}\"]", path("plugins").display()),
        &format!("output={}", path("run").display()),
    ]));
    said.case("one bit changed, unpinned ones allowed", 4, allowed);
    let lock = std::fs::read_to_string(path("scaleot.lock")).unwrap();
    said.add("the lock", &lock.replace(&digest(&whole), "[sha256]"));
    std::fs::write(path("scaleot.lock"), lock.replace("offsite-tuning", "another-one")).unwrap();
    said.case("not in the lock", 4, run(&["importance"]));
    for (case, text) in [
        ("a newer lock", "version = 2\n"),
        ("an unknown key", "version = 1\npin = 1\n"),
        ("a wrong digest", "version = 1\n[[plugin]]\nid = \"a\"\nversion = \"1\"\napi = \"1\"\nsha256 = \"x\"\n"),
    ] {
        std::fs::write(path("scaleot.lock"), text).unwrap();
        said.case(case, 2, run(&["importance"]));
    }
    said.assert("locked");
}

#[test]
fn of_two_plugins_of_one_name_the_first_is_taken_and_both_are_named() {
    let folder = scratch();
    let place = |name: &str| {
        let place = folder.path().join(name);
        std::fs::create_dir_all(&place).unwrap();
        place.join("liboffsite_tuning.so")
    };
    let mut bytes = std::fs::read(library("liboffsite_tuning.so")).unwrap();
    // The same plugin to the loader, another file to a digest; order as in the search path.
    let places = ["line", "environment", "config", ".scaleot/plugins", "user/scaleot/plugins"].map(place);
    for place in &places {
        bytes.push(0);
        std::fs::write(place, &bytes).unwrap();
    }
    let info = |with: &dyn Fn(&mut std::process::Command)| {
        let mut command = command(["plugin", "list", "--unpinned", "allow", "--json"]);
        command.current_dir(folder.path()).env("XDG_DATA_HOME", folder.path().join("user"));
        with(&mut command);
        let listed = outcome(&mut command).expect(0).json();
        let plugins = listed["plugins"].as_array().unwrap().clone();
        let found = plugins.iter().find(|plugin| plugin["record"]["name"] == "offsite-tuning").unwrap();
        (found["from"].as_str().unwrap().to_owned(), listed["hidden"].as_array().unwrap().len())
    };
    let environment = |command: &mut std::process::Command| {
        command.env("SCALEOT_PLUGIN_PATH", "environment");
    };
    assert_eq!(
        info(&|command| {
            environment(command);
            command.args(["--plugin-path", "line"]);
        }),
        ("--plugin-path".into(), 4)
    );
    assert_eq!(info(&environment), ("SCALEOT_PLUGIN_PATH".into(), 3));
    assert_eq!(info(&|_| ()), ("project".into(), 2));
    std::fs::remove_file(&places[3]).unwrap();
    assert_eq!(info(&|_| ()), ("user".into(), 1));
    std::fs::remove_file(&places[4]).unwrap();
    assert_eq!(info(&|_| ()), ("program".into(), 0));
    notices(&folder.path().join("run"), &places[0], &places[2]);
}

/// A run names both; the command line comes before the config.
fn notices(run: &Path, line: &Path, config: &Path) {
    let folder = |file: &Path| file.parent().unwrap().display().to_string();
    let more = ["--plugin-path", &folder(line), &format!("plugins.paths=[\"{}\"]", folder(config))];
    let said = verb("importance", run, &more).expect(0).stderr;
    let notice = |other: &str| {
        let taken = format!("{} (--plugin-path) is taken, {other} is not", line.display());
        assert!(said.contains(&format!("notice: two plugins are named offsite-tuning: {taken}")), "{said}");
    };
    notice(&format!("{} (plugins.paths)", config.display()));
    notice(&format!("{} (program)", library("liboffsite_tuning.so").display()));
}

#[test]
fn a_lock_in_the_working_folder_counts_too() {
    let folder = scratch();
    std::fs::write(folder.path().join("scaleot.lock"), "version = 1\n").unwrap();
    let model = repository().join("tests/fixtures/ci-model");
    let config = repository().join(CONFIG);
    let arguments = ["config", "validate", config.to_str().unwrap()];
    let paths = [
        format!("model.path={}", model.display()),
        format!("data.folder={}", repository().join("tests/fixtures/tasks").display()),
        "public_data.text=[]".to_owned(),
        "evaluate.text=[]".to_owned(),
    ];
    let all: Vec<&str> = arguments.into_iter().chain(paths.iter().map(String::as_str)).collect();
    let outcome = within(folder.path(), &all).expect(4);
    assert!(outcome.stderr.contains("scaleot.lock does not have it"), "{}", outcome.stderr);
}
