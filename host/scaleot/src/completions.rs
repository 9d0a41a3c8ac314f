//! `completions`: a script for a shell.

use super::args::Args;
use super::failure::VerbResult;
use super::output::Output;
use clap::CommandFactory as _;

/// Prints the script.
pub fn completions(shell: clap_complete::Shell, output: Output) -> VerbResult<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "scaleot", &mut script);
    let script = String::from_utf8_lossy(&script);
    let value = serde_json::json!({ "shell": shell.to_string(), "script": script });
    output.result(&value, || script.trim_end().to_owned())
}
