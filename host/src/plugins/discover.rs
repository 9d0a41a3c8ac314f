//! Where plugin libraries are looked for: `--plugin-path`, the config, `SCALEOT_PLUGIN_PATH`, then beside the program.
//!
//! A plugin named `offsite-tuning` is the file `liboffsite_tuning.so`; an entry may also name a library itself.

use super::library::contains_root_symbol;
use std::path::{Path, PathBuf};

/// Folders and files, in the order in which they are searched.
#[derive(Debug, Clone, Default)]
pub struct SearchPath {
    entries: Vec<PathBuf>,
}

impl SearchPath {
    /// These entries first, then the environment's, then the program's own folder.
    pub fn new(entries: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut entries: Vec<PathBuf> = entries.into_iter().collect();
        if let Some(paths) = std::env::var_os("SCALEOT_PLUGIN_PATH") {
            entries.extend(std::env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()));
        }
        entries.extend(std::env::current_exe().ok().and_then(|program| program.parent().map(Path::to_path_buf)));
        let mut unique: Vec<PathBuf> = Vec::new();
        for entry in entries {
            if !unique.contains(&entry) {
                unique.push(entry);
            }
        }
        Self { entries: unique }
    }

    /// The file that a plugin's library has.
    pub fn file_name(plugin: &str) -> String {
        format!("lib{}.so", plugin.replace('-', "_"))
    }

    /// The plugin that a library is by its file name.
    pub fn plugin_name(file: &Path) -> Option<String> {
        let stem = file.file_stem()?.to_str()?;
        Some(stem.strip_prefix("lib").unwrap_or(stem).replace('_', "-"))
    }

    /// The first library of that name.
    pub fn find(&self, plugin: &str) -> Option<PathBuf> {
        let file = Self::file_name(plugin);
        self.entries.iter().find_map(|entry| {
            if entry.is_file() && entry.file_name().is_some_and(|name| *name == *file) {
                return Some(entry.clone());
            }
            let candidate = entry.join(&file);
            candidate.is_file().then_some(candidate)
        })
    }

    /// Every library on the path that exports a plugin, the first of each file name; nothing is loaded.
    pub fn all(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = Vec::new();
        for file in self.entries.iter().flat_map(|entry| libraries_in(entry)) {
            if !found.iter().any(|known| known.file_name() == file.file_name()) {
                found.push(file);
            }
        }
        found
    }

    /// For messages.
    pub fn describe(&self) -> String {
        self.entries.iter().map(|entry| entry.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

fn libraries_in(entry: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = match std::fs::read_dir(entry) {
        Ok(listing) => listing.filter_map(|item| item.ok().map(|item| item.path())).collect(),
        Err(_) => vec![entry.to_path_buf()],
    };
    files.retain(|file| {
        let is_library = file.extension().is_some_and(|extension| extension == "so") && file.is_file();
        is_library && std::fs::read(file).is_ok_and(|bytes| contains_root_symbol(&bytes))
    });
    files.sort();
    files
}
