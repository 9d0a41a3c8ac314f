//! A command under a limit on time and memory, and whether what came of it is a fault.

use behaviour::program;
use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A command that works for longer is asked to stop: a million steps are no fault, not to heed is one.
const PATIENCE: Duration = Duration::from_secs(20);
/// The seconds that are left after that.
const GRACE: Duration = Duration::from_secs(20);
/// KiB of address space. The program and libtorch map under 2 GiB before they allocate anything.
const ADDRESS_SPACE: u64 = 6 << 20;
/// Exit codes that may come of a bad input. 7 is of those who were asked to stop.
const DOCUMENTED: [i32; 6] = [0, 2, 3, 4, 5, 6];

pub struct Ended {
    status: Option<ExitStatus>,
    asked: bool,
    stdout: String,
    stderr: String,
}

impl Ended {
    pub fn shown(&self) -> String {
        match (self.status.and_then(|status| status.code()), self.asked) {
            (Some(code), false) => code.to_string(),
            (Some(code), true) => format!("{code} when asked to stop"),
            (None, true) => "by the signal that asked it to stop".to_owned(),
            (None, false) => "by a signal".to_owned(),
        }
    }

    pub fn said(&self) -> String {
        let short = |text: &str| text.chars().take(2000).collect::<String>();
        format!("  stdout: {}\n  stderr: {}", short(&self.stdout), short(&self.stderr))
    }
}

/// Runs the program in a folder that holds all it may change.
pub fn run(arguments: &[OsString], folder: &Path) -> Ended {
    let (out, err) = (folder.join(".stdout"), folder.join(".stderr"));
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -v {ADDRESS_SPACE}; exec \"$@\"")).arg("sh").arg(program()).args(arguments);
    command.current_dir(folder).stdin(Stdio::null());
    command.stdout(File::create(&out).expect("a file")).stderr(File::create(&err).expect("a file"));
    command.env_remove("SCALEOT_PLUGIN_PATH").env("OMP_NUM_THREADS", "1");
    command.env("HOME", folder.join("home")).env_remove("XDG_DATA_HOME");
    let mut child = command.spawn().expect("the program starts");
    let mut status = wait(&mut child, PATIENCE);
    let asked = status.is_none();
    if asked {
        let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        status = wait(&mut child, GRACE);
    }
    if status.is_none() {
        child.kill().expect("a child to end");
        child.wait().expect("a child that was ended");
    }
    let text = |path| String::from_utf8_lossy(&std::fs::read(path).expect("what it said")).into_owned();
    Ended { status, asked, stdout: text(out), stderr: text(err) }
}

fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let began = Instant::now();
    while began.elapsed() < patience {
        if let Some(status) = child.try_wait().expect("a child") {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

/// The fault of an end, if it has one.
pub fn fault(arguments: &[OsString], ended: &Ended) -> Option<String> {
    let Some(status) = ended.status else { return Some("it neither ended nor heeded a request to stop".to_owned()) };
    for words in ["panicked at", "RUST_BACKTRACE", "a fault of ours, at", "memory allocation of", "stack overflow"] {
        if ended.stderr.contains(words) {
            return Some(format!("it says `{words}`"));
        }
    }
    match status.code() {
        None if ended.asked => {}
        Some(7) if ended.asked => return None,
        Some(code) if DOCUMENTED.contains(&code) => {}
        code => return Some(format!("exit status {code:?} ({status})")),
    }
    if status.code() != Some(0) && !ended.asked && ended.stderr.is_empty() && ended.stdout.is_empty() {
        return Some("it failed without a word".to_owned());
    }
    json_fault(arguments, &ended.stdout)
}

/// With `--json`, stdout is one JSON object or nothing.
fn json_fault(arguments: &[OsString], stdout: &str) -> Option<String> {
    let is = |word: &str| arguments.iter().take_while(|argument| *argument != "--").any(|argument| argument == word);
    let help = ["--help", "-h", "help", "--version", "-V"].into_iter().any(is);
    if !is("--json") || help || stdout.is_empty() {
        return None;
    }
    match serde_json::from_str::<serde_json::Value>(stdout) {
        Ok(value) if value.is_object() => None,
        Ok(_) => Some("stdout is JSON, but no object".to_owned()),
        Err(error) => Some(format!("stdout is not one JSON document: {error}")),
    }
}
