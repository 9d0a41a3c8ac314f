//! The paths of a config: what can be said without touching them, and what a verb asks for before it starts.

use std::fs;
use std::path::{Component, Path};

use super::error::ConfigError;
use super::place::KeyPath;
use super::sections::RunConfig;
use crate::fault::escape;
use crate::store::{kind_name, lies_inside};

/// Paths that a verb is about to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathNeed {
    /// The model folder.
    Model,
    /// The folders and files that plugins are looked for in.
    Plugins,
    /// The task folder, or the private text files.
    Data,
    /// The owner's public text files.
    PublicText,
    /// The task folder for the tasks of `evaluate`, and its text files.
    Evaluate,
}

impl RunConfig {
    /// Refuses a path that is not there, or is not of the kind that `need` asks for.
    pub fn require(&self, need: PathNeed) -> Result<(), ConfigError> {
        match need {
            PathNeed::Model => self.folder("model.path", &self.model.path),
            PathNeed::Plugins => {
                let each = |(at, path): (KeyPath, &Path)| self.exists(at, path, true, true);
                list("plugins.paths", &self.plugins.paths).try_for_each(each)
            }
            PathNeed::Data if self.data.task.is_some() => self.folder("data.folder", &self.data.folder),
            PathNeed::Data => self.files("data.text", &self.data.text),
            PathNeed::PublicText if self.train.steps > 0 && self.data.public_text.is_empty() => {
                Err(self.no_public_text())
            }
            PathNeed::PublicText => self.files("data.public_text", &self.data.public_text),
            PathNeed::Evaluate => {
                if !self.evaluate.tasks.is_empty() {
                    self.folder("data.folder", &self.data.folder)?;
                }
                self.files("evaluate.text", &self.evaluate.text)
            }
        }
    }

    /// What is said where the owner's training has nothing to train on.
    pub fn no_public_text(&self) -> ConfigError {
        let key = KeyPath::of("data").key("public_text");
        let expected = format!("one or more UTF-8 files, because train.steps is {}", self.train.steps);
        ConfigError::Value { place: self.places.of(&key), key, found: "no file".to_owned(), expected }
    }

    fn folder(&self, key: &str, path: &Path) -> Result<(), ConfigError> {
        self.exists(KeyPath::of(key), path, true, false)
    }

    fn files(&self, key: &str, paths: &[std::path::PathBuf]) -> Result<(), ConfigError> {
        list(key, paths).try_for_each(|(at, path)| self.exists(at, path, false, true))
    }

    fn exists(&self, at: KeyPath, path: &Path, folder: bool, file: bool) -> Result<(), ConfigError> {
        let expected = match (folder, file) {
            (true, true) => "a folder or file",
            (true, false) => "a folder",
            _ => "a file",
        };
        let problem = match fs::metadata(path) {
            Ok(found) if (folder && found.is_dir()) || (file && found.is_file()) => return Ok(()),
            Ok(found) => format!("which is a {}, expected {expected}", kind_name(found.file_type())),
            Err(error) => format!("which cannot be read ({error}), expected {expected}"),
        };
        Err(self.path_refused(at, path, problem))
    }

    fn path_refused(&self, key: KeyPath, path: &Path, problem: String) -> ConfigError {
        ConfigError::Path { place: self.places.of(&key), key, path: escape(&path.to_string_lossy()), problem }
    }
}

/// What holds of paths wherever the verb is run: none leads out of the current folder unseen, and the output is
/// never beside the owner's weights.
pub(super) fn check(config: &RunConfig) -> Result<(), ConfigError> {
    let one = |key: &str, path| std::iter::once((KeyPath::of(key), path));
    let all = one("output", config.output.as_path())
        .chain(one("model.path", config.model.path.as_path()))
        .chain(one("data.folder", config.data.folder.as_path()))
        .chain(list("plugins.paths", &config.plugins.paths))
        .chain(list("data.text", &config.data.text))
        .chain(list("data.public_text", &config.data.public_text))
        .chain(list("evaluate.text", &config.evaluate.text));
    for (key, path) in all {
        if path.as_os_str().is_empty() {
            return Err(config.path_refused(key, path, "expected a path".to_owned()));
        }
        if leads_out(path) {
            let problem = "which leads out of the current folder; write it as an absolute path".to_owned();
            return Err(config.path_refused(key, path, problem));
        }
    }
    if lies_inside(&config.output, &config.model.path) {
        let place = config.places.of(&KeyPath::of("output"));
        let (output, model) = (config.output.clone(), config.model.path.clone());
        return Err(ConfigError::OutputInModel { place, output, model });
    }
    Ok(())
}

fn list<'p>(key: &str, paths: &'p [std::path::PathBuf]) -> impl Iterator<Item = (KeyPath, &'p Path)> {
    let key = KeyPath::of(key);
    paths.iter().enumerate().map(move |(index, path)| (key.index(index), path.as_path()))
}

/// Whether a relative path has more `..` than folders before them.
fn leads_out(path: &Path) -> bool {
    let mut depth = 0_i32;
    for part in path.components() {
        match part {
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            Component::RootDir | Component::Prefix(_) => return false,
            Component::CurDir => {}
        }
        if depth < 0 {
            return true;
        }
    }
    false
}
