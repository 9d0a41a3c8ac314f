//! Results on stdout: a text for people or one JSON object for programs, and nothing else.

use super::failure::{ProgramError, VerbError, VerbResult};
use comfy_table::{Table, presets};
use serde::Serialize;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;

/// The real stdout, while descriptor 1 is stderr.
static STDOUT: OnceLock<OwnedFd> = OnceLock::new();

/// Keeps stdout for results: what a plugin or a library prints goes to stderr from here.
pub fn keep_stdout() {
    // Where descriptors run out, prints and results share stdout as they do in most programs.
    if let Ok(stdout) = io::stdout().as_fd().try_clone_to_owned() {
        STDOUT.get_or_init(|| stdout);
        point(libc::STDERR_FILENO);
    }
}

/// Does `work` with descriptor 1 as the person gave it.
fn on_stdout<R>(work: impl FnOnce() -> R) -> R {
    let Some(stdout) = STDOUT.get() else { return work() };
    point(stdout.as_raw_fd());
    let done = work();
    point(libc::STDERR_FILENO);
    done
}

/// Makes descriptor 1 the same as another.
fn point(to: libc::c_int) {
    // SAFETY: both descriptors are open; nobody owns descriptor 1.
    unsafe { libc::dup2(to, libc::STDOUT_FILENO) };
}

/// Writes a line to the real stdout, without a buffer: what a reader who left did not take would be flushed at the program's end,
/// to stderr by then.
fn write(text: &str) -> io::Result<()> {
    let stdout = match STDOUT.get() {
        Some(stdout) => stdout.try_clone()?,
        None => io::stdout().as_fd().try_clone_to_owned()?,
    };
    File::from(stdout).write_all(format!("{text}\n").as_bytes())
}

/// The form that results are printed in.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// JSON instead of text.
    pub json: bool,
}

impl Output {
    /// Prints a result; `text` is only made when a person asked.
    pub fn result(self, value: &impl Serialize, text: impl FnOnce() -> String) -> VerbResult<()> {
        // Tables ask how wide the terminal is that stdout may be.
        let text = if self.json { serde_json::to_string(value).map_err(ProgramError::from)? } else { on_stdout(text) };
        self.text(&text)
    }

    /// Prints a text as it is.
    pub fn text(self, text: &str) -> VerbResult<()> {
        write(text).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => VerbError::StdoutClosed,
            _ => ProgramError::Stdout(error).into(),
        })
    }
}

/// A path in JSON. Bytes that are no UTF-8 become U+FFFD, as in messages: JSON has no bytes.
pub fn display_path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A table for a terminal; `fitted` draws it.
pub fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(head.to_vec());
    table
}

/// Prints a sentence on stderr. A closed stderr is no error.
pub fn say(sentence: &str) {
    let _ = writeln!(io::stderr().lock(), "{sentence}");
}
