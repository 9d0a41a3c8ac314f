//! Checks of the paths of a config: first those that need no file system, then that each path exists.
//!
//! Relative paths start at the current folder. One in a file may not lead out of it, because configs are passed around and a
//! path out of the folder is easily overlooked. One on the command line was typed by the person who runs it, and may.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::error::ConfigError;
use super::place::{KeyPath, Place};
use super::sections::RunConfig;
use scaleot_store::escape::escape;
use scaleot_store::{kind_name, lies_inside};

impl RunConfig {
    pub(super) fn folder(&self, key: &str, path: &Path) -> Result<(), ConfigError> {
        self.exists(KeyPath::of(key), path, true)
    }

    pub(super) fn files(&self, key: &str, paths: &[PathBuf]) -> Result<(), ConfigError> {
        list(key, paths).try_for_each(|(at, path)| self.exists(at, path, false))
    }

    fn exists(&self, at: KeyPath, path: &Path, folder: bool) -> Result<(), ConfigError> {
        let expected = if folder { "a folder" } else { "a file" };
        let problem = match fs::metadata(path) {
            Ok(found) if (folder && found.is_dir()) || (!folder && found.is_file()) => return Ok(()),
            Ok(found) => format!("which is a {}, expected {expected}", kind_name(found.file_type())),
            Err(error) => format!("which cannot be read ({error}), expected {expected}"),
        };
        Err(self.path_refused(at, path, problem))
    }

    fn path_refused(&self, key: KeyPath, path: &Path, problem: String) -> ConfigError {
        ConfigError::Path { place: self.places.of(&key), key, path: escape(&path.to_string_lossy()), problem }
    }
}

/// Checks paths for every verb: none of a file leads out of the current folder unseen, and the output is
/// never beside the owner's weights.
pub(super) fn check(config: &RunConfig) -> Result<(), ConfigError> {
    let one = |key: &str, path| std::iter::once((KeyPath::of(key), path));
    let all = one("output", config.output.as_path())
        .chain(config.model.folder().map(|path| (KeyPath::of("model.path"), path)))
        .chain(one("data.folder", config.data.folder.as_path()))
        .chain(list("plugins.paths", &config.plugins.paths))
        .chain(list("data.text", &config.data.text))
        .chain(list("public_data.text", &config.public_data.text))
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
    match config.model.folder() {
        Some(model) if lies_inside(&config.output, model) => {
            let place = config.places.of(&KeyPath::of("output"));
            Err(ConfigError::OutputInModel { place, output: config.output.clone(), model: model.to_path_buf() })
        }
        _ => Ok(()),
    }
}

/// Paths of the command line that lead out of the current folder become absolute, so that the config means the same wherever
/// it is written down.
pub(super) fn from_here(config: &mut RunConfig) {
    let Ok(here) = std::env::current_dir() else { return };
    let RunConfig { places, output, model, data, public_data, plugins, evaluate, .. } = config;
    let absolute = |key: KeyPath, path: &mut PathBuf| {
        if leads_out(path) && matches!(places.of(&key), Place::Override { .. }) {
            *path = here.join(&*path);
        }
    };
    absolute(KeyPath::of("output"), output);
    absolute(KeyPath::of("model.path"), &mut model.path);
    absolute(KeyPath::of("data.folder"), &mut data.folder);
    let lists = [
        ("plugins.paths", &mut plugins.paths),
        ("data.text", &mut data.text),
        ("public_data.text", &mut public_data.text),
        ("evaluate.text", &mut evaluate.text),
    ];
    for (key, paths) in lists {
        let key = KeyPath::of(key);
        paths.iter_mut().enumerate().for_each(|(index, path)| absolute(key.index(index), path));
    }
}

fn list<'p>(key: &str, paths: &'p [PathBuf]) -> impl Iterator<Item = (KeyPath, &'p Path)> {
    let key = KeyPath::of(key);
    paths.iter().enumerate().map(move |(index, path)| (key.index(index), path.as_path()))
}

/// True of a relative path that has more `..` than folders before them.
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
