//! Results on stdout: a text for people or one JSON object for programs, and nothing else.

use super::failure::ProgramError;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use std::io::{self, Write as _};

/// How results are printed.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// JSON instead of text.
    pub json: bool,
}

impl Output {
    /// Prints a result; `text` is only made when a person asked.
    pub fn result(self, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        if self.json { self.text(&serde_json::to_string(value)?) } else { self.text(&text()) }
    }

    /// Prints a text as it is.
    pub fn text(self, text: &str) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
        Ok(written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => ProgramError::StdoutClosed,
            _ => ProgramError::Stdout(error),
        })?)
    }
}

/// A table for a terminal, as wide as it allows.
pub fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(head.to_vec());
    table
}

/// A sentence on stderr. Nobody may be listening there, and that is no error.
pub fn say(sentence: &str) {
    let _ = writeln!(io::stderr().lock(), "{sentence}");
}
