//! The program's words, case by case, with paths and digests of this machine taken out, for snapshots.

use behaviour::{Outcome, command, outcome};
use std::path::Path;

/// The sentences of several cases.
pub struct Transcript {
    folder: String,
    text: String,
}

impl Transcript {
    /// For cases whose files lie in this folder.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.display().to_string(), text: String::new() }
    }

    /// Adds what a case said on stderr; its exit status must be this one.
    #[track_caller]
    pub fn case(&mut self, name: &str, code: i32, found: Outcome) {
        let found = found.expect(code);
        let said = found.stderr.trim().replace(&self.folder, "[folder]");
        self.text += &format!("{name}\n    {}\n", said.replace('\n', "\n    "));
    }

    /// Adds a case's own text.
    pub fn add(&mut self, name: &str, text: &str) {
        let text = text.trim().replace(&self.folder, "[folder]");
        self.text += &format!("{name}\n    {}\n", text.replace('\n', "\n    "));
    }

    /// Compares with the snapshot of this name.
    #[track_caller]
    pub fn assert(&self, name: &str) {
        let api = scaleot_plugin_api::export::API_VERSION.replace('.', r"\.");
        let filters = [(r"[0-9a-f]{64}", "[sha256]"), (&api, "[this API]")];
        insta::with_settings!({ filters => filters, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name, self.text);
        });
    }
}

/// Runs the program in a working folder of its own.
pub fn within(folder: &Path, arguments: &[&str]) -> Outcome {
    outcome(command(arguments).current_dir(folder))
}
