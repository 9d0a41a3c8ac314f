//! From an outcome to an exit status and one sentence on stderr; a panic is a fault of ours and says so.

use super::output::{Output, say};
use scaleot_config::ConfigError;
use scaleot_pipeline::error::StageError;
use scaleot_plugins::isolation::active_call;
use scaleot_store::StoreError;
use scaleot_store::escape::escape_to;
use scaleot_store::exit_code::{ExitCode, HasExitCode};
use scaleot_suite::SuiteError;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

/// What only the program can say.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// Whoever read our results has left, which is no error.
    #[error("stdout is closed")]
    StdoutClosed,
    /// Results that cannot be written.
    #[error("stdout: {0}")]
    Stdout(std::io::Error),
    /// A command line that does not make sense.
    #[error("{0}")]
    Usage(String),
    /// A checked folder or plugin that is not what it should be.
    #[error("{0}")]
    Found(String, ExitCode),
    /// Everything is said already.
    #[error("see above")]
    Said(ExitCode),
}

impl HasExitCode for ProgramError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::StdoutClosed => ExitCode::Done,
            Self::Stdout(_) => ExitCode::Resources,
            Self::Usage(_) => ExitCode::Usage,
            Self::Found(_, code) | Self::Said(code) => *code,
        }
    }
}

/// Any error of the runtime under its exit code.
pub fn stage<T, E: Into<StageError>>(outcome: Result<T, E>) -> Result<T, StageError> {
    outcome.map_err(Into::into)
}

/// How long a message may be: a list of names fits, a flood from a foreign file does not.
const MESSAGE_LIMIT: usize = 4000;

static PANIC: Mutex<String> = Mutex::new(String::new());

/// Runs the program and concludes.
pub fn conclude(json: bool, work: impl FnOnce() -> anyhow::Result<()>) -> std::process::ExitCode {
    // A panic says nothing by itself: one that a fence catches is told by the fence.
    std::panic::set_hook(Box::new(|panic| {
        if let Ok(mut last) = PANIC.lock() {
            *last = panic.to_string();
        }
    }));
    let (code, message) = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => {
            active_call::conclude(ExitCode::Done as u8);
            return ExitCode::Done.into();
        }
        Ok(Err(error)) => (exit_code(&error), sentence(&error)),
        Err(_) => (ExitCode::Bug, bug()),
    };
    if !is_said(code, &message) {
        say(&format!("error: {message}"));
        if json {
            let error = serde_json::json!({ "error": message, "exit_code": code as u8 });
            // The message is on stderr; a stdout that is gone as well changes nothing.
            let _ = Output { json }.text(&error.to_string());
        }
    }
    active_call::conclude(code as u8);
    code.into()
}

/// clap's answer to a command line: help and version on stdout, an error on stderr, and as JSON where that was asked for.
pub fn not_understood(error: &clap::Error) -> std::process::ExitCode {
    let printed = error.print();
    let before_dashes = std::env::args_os().take_while(|argument| argument != "--");
    if error.use_stderr() && { before_dashes }.any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let words = text.split("\n\n").next().unwrap_or_default();
        let words = words.strip_prefix("error: ").unwrap_or(words);
        let value = serde_json::json!({ "error": safe(words), "exit_code": ExitCode::Usage as u8 });
        let _ = Output { json: true }.text(&value.to_string());
    }
    match (error.use_stderr(), printed) {
        (true, _) => ExitCode::Usage.into(),
        (false, Err(problem)) if problem.kind() != ErrorKind::BrokenPipe => {
            say(&format!("error: stdout: {problem}"));
            ExitCode::Resources.into()
        }
        (false, _) => ExitCode::Done.into(),
    }
}

fn is_said(code: ExitCode, message: &str) -> bool {
    code == ExitCode::Done || message == "see above"
}

/// The first error of the chain that knows its exit code.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let known = error.chain().find_map(|cause| {
        let fault: Option<&dyn HasExitCode> = None;
        fault
            .or_else(|| cause.downcast_ref::<ProgramError>().map(|fault| fault as &dyn HasExitCode))
            .or_else(|| cause.downcast_ref::<StageError>().map(|fault| fault as &dyn HasExitCode))
            .or_else(|| cause.downcast_ref::<ConfigError>().map(|fault| fault as &dyn HasExitCode))
            .or_else(|| cause.downcast_ref::<SuiteError>().map(|fault| fault as &dyn HasExitCode))
            .or_else(|| cause.downcast_ref::<StoreError>().map(|fault| fault as &dyn HasExitCode))
            .map(HasExitCode::exit_code)
    });
    known.unwrap_or(ExitCode::Bug)
}

/// The error and its causes, each said once, made safe for a terminal.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // Most of our messages end with their cause's.
        if !text.contains(&cause) {
            text += if text.is_empty() { "" } else { ": " };
            text += &cause;
        }
    }
    safe(&text)
}

/// Foreign text cannot drive the terminal, nor begin a line of its own.
fn safe(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| escape_to(line, MESSAGE_LIMIT)).collect();
    lines.join("\n  ")
}

fn bug() -> String {
    let what = PANIC.lock().map(|last| last.clone()).unwrap_or_default();
    let what = what.trim_start_matches("panicked at ").replace('\n', " ");
    format!(
        "a fault of ours, at {}; please report it with this command and `scaleot doctor`'s output",
        escape_to(&what, MESSAGE_LIMIT)
    )
}
