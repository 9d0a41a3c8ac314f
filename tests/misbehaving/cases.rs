//! Runs cases side by side and puts down what each said, in order.

use behaviour::{CONFIG, misbehaving_plugin, program::command, quick, scratch};
use std::path::Path;
use std::process::Output;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Cases at a time: each is a process, and most of them wait for the disk or for a limit.
const SIDE_BY_SIDE: usize = 2;

/// One run of the program that a plugin spoils, or tries to.
pub struct Case {
    pub name: &'static str,
    pub code: i32,
    pub verb: &'static str,
    pub more: Vec<String>,
    pub environment: Vec<(&'static str, String)>,
    /// The file on the search path instead of the test's plugin.
    pub library: Option<std::path::PathBuf>,
}

impl Case {
    pub fn new(name: &'static str, code: i32, verb: &'static str, more: &[&str]) -> Self {
        let more = more.iter().map(ToString::to_string).collect();
        Self { name, code, verb, more, environment: Vec::new(), library: None }
    }

    pub fn with(mut self, key: &'static str, value: &str) -> Self {
        self.environment.push((key, value.to_owned()));
        self
    }

    pub fn library(mut self, path: &Path) -> Self {
        self.library = Some(path.to_path_buf());
        self
    }

    /// Runs it in a folder of its own.
    pub fn run(&self, run: &Path) -> Output {
        let library = self.library.as_deref().unwrap_or(misbehaving_plugin());
        let mut arguments = vec![self.verb.to_owned(), CONFIG.to_owned()];
        arguments.extend(quick(run));
        arguments.extend(["--plugin-path".to_owned(), library.display().to_string()]);
        arguments.extend(self.more.clone());
        let mut command = command(arguments);
        // A stack of every panic takes longer than the case.
        command.env("RUST_BACKTRACE", "0");
        command.envs(self.environment.iter().map(|(key, value)| (key, value))).output().unwrap()
    }

    /// Its words, checked for what must hold of every case.
    fn told(&self) -> String {
        let folder = scratch();
        let run = folder.path().join("run");
        let output = self.run(&run);
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let name = self.name;
        assert_eq!(output.status.code(), Some(self.code), "{name}: {stdout}\n{stderr}");
        assert!(!stderr.contains('\u{1b}') && stderr.len() < 20_000, "{name}: drives the terminal or floods it");
        assert!(self.code == 0 || stdout.is_empty(), "{name}: results in spite of an error");
        // Nothing half-made is left, and nobody holds the lock.
        let names = std::fs::read_dir(&run).into_iter().flatten().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(".tmp-")).collect();
        assert!(left.is_empty() || stderr.contains("and the same command continues"), "{name}: {left:?}");
        let lines: Vec<&str> = stderr.lines().skip_while(|line| !line.starts_with("error: ")).collect();
        assert_eq!(lines.is_empty(), self.code == 0, "{name}: {stderr}");
        let error = if lines.is_empty() { "no error".to_owned() } else { lines.join("\n  ") };
        format!("{name}\n  exit {}\n  {}\n", self.code, comparable(&error, folder.path()))
    }
}

/// The words of all cases, in their order.
pub fn told(cases: &[Case]) -> String {
    let (next, told) = (AtomicUsize::new(0), Mutex::new(vec![String::new(); cases.len()]));
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some((at, case)) =
                    Some(next.fetch_add(1, Ordering::SeqCst)).and_then(|at| Some((at, cases.get(at)?)))
                {
                    let said = case.told();
                    told.lock().unwrap()[at] = said;
                }
            });
        }
    });
    told.into_inner().unwrap().concat()
}

/// Without what differs from one machine or build to the next: places and digests.
fn comparable(message: &str, folder: &Path) -> String {
    let built = behaviour::program().parent().unwrap().display().to_string();
    let mut message = message.to_owned();
    let places = [(folder.display().to_string(), "SCRATCH"), (built, "BUILT")];
    let root = behaviour::repository().display().to_string();
    for (path, word) in places.iter().chain(&[(root, "REPOSITORY")]) {
        message = message.replace(path, word);
    }
    let is_digest = |word: &str| [12, 64].contains(&word.len()) && word.bytes().all(|b| b.is_ascii_hexdigit());
    let mut plain = String::new();
    for word in message.split_inclusive([' ', ')', ':', ';', ',', '"', '\n']) {
        let core = word.trim_end_matches([' ', ')', ':', ';', ',', '"', '\n']);
        plain += if is_digest(core) && !core.starts_with("0000") { "DIGEST" } else { core };
        plain += &word[core.len()..];
    }
    plain
}
