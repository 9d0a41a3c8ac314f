//! The end of the program: its exit status and one sentence on stderr; a panic is a fault of ours and says so.

use super::failure::{MESSAGE_LIMIT, VerbResult, safe};
use super::output::{Output, say};
use scaleot_plugins::isolation::active_call;
use scaleot_store::escape::escape_to;
use scaleot_store::exit_code::ExitCode;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

static PANIC: Mutex<String> = Mutex::new(String::new());

/// Runs the program and concludes.
pub fn conclude(json: bool, work: impl FnOnce() -> VerbResult<()>) -> std::process::ExitCode {
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
        Ok(Err(error)) => (error.exit_code(), error.sentence()),
        Err(_) => (ExitCode::Bug, Some(bug())),
    };
    if let Some(message) = message {
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

fn bug() -> String {
    let what = PANIC.lock().map(|last| last.clone()).unwrap_or_default();
    let what = what.trim_start_matches("panicked at ").replace('\n', " ");
    format!(
        "a fault of ours, at {}; please report it with this command and `scaleot doctor`'s output",
        escape_to(&what, MESSAGE_LIMIT)
    )
}
