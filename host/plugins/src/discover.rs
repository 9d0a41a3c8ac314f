//! The folders in which plugin libraries are looked for, in this order: `--plugin-path`, `SCALEOT_PLUGIN_PATH`, the config's `plugins.paths`,
//! the project's folder, the user's, the system's, the program's own.
//!
//! A plugin named `offsite-tuning` is the file `liboffsite_tuning.so` in a folder of the path, or in a folder `offsite-tuning`
//! there, which is how `plugin add` leaves it; an entry may also name a library itself. The first one wins.

use super::library::contains_root_symbol;
use std::fmt;
use std::path::{Path, PathBuf};

/// The folder into which `plugin add` puts plugins of the working folder.
pub const PROJECT_FOLDER: &str = ".scaleot/plugins";
const SYSTEM_FOLDER: &str = "/usr/local/lib/scaleot/plugins";

/// By whose word a folder is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    CommandLine,
    Environment,
    Config,
    Project,
    User,
    System,
    Program,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CommandLine => "--plugin-path",
            Self::Environment => "SCALEOT_PLUGIN_PATH",
            Self::Config => "plugins.paths",
            Self::Project => "project",
            Self::User => "user",
            Self::System => "system",
            Self::Program => "program",
        })
    }
}

/// A library on the search path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub path: PathBuf,
    pub origin: Origin,
}

/// Folders and files, in the order in which they are searched.
#[derive(Debug, Clone, Default)]
pub struct SearchPath {
    entries: Vec<(Origin, PathBuf)>,
}

impl SearchPath {
    /// The command line's entries first, then all others but a config's.
    pub fn new(entries: impl IntoIterator<Item = PathBuf>) -> Self {
        Self::with_config(entries, [])
    }

    /// As [`new`](Self::new), with the `plugins.paths` of a config in their place.
    pub fn with_config(
        command_line: impl IntoIterator<Item = PathBuf>,
        config: impl IntoIterator<Item = PathBuf>,
    ) -> Self {
        let environment = std::env::var_os("SCALEOT_PLUGIN_PATH").unwrap_or_default();
        let environment: Vec<PathBuf> = std::env::split_paths(&environment).collect();
        let by = |origin| move |path| (origin, path);
        let entries = (command_line.into_iter().map(by(Origin::CommandLine)))
            .chain(environment.into_iter().map(by(Origin::Environment)))
            .chain(config.into_iter().map(by(Origin::Config)))
            .chain([(Origin::Project, PathBuf::from(PROJECT_FOLDER))])
            .chain(user_folder().map(by(Origin::User)))
            .chain([(Origin::System, PathBuf::from(SYSTEM_FOLDER))])
            .chain(program_folder().map(by(Origin::Program)));
        let mut unique: Vec<(Origin, PathBuf)> = Vec::new();
        for (origin, path) in entries.filter(|(_, path)| !path.as_os_str().is_empty()) {
            if !unique.iter().any(|(_, known)| *known == path) {
                unique.push((origin, path));
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

    /// Every library of that name, the first one being the one that counts.
    pub fn find(&self, plugin: &str) -> Vec<Found> {
        let file = Self::file_name(plugin);
        let mut found: Vec<Found> = Vec::new();
        for (origin, entry) in &self.entries {
            let itself = entry.file_name().is_some_and(|name| *name == *file).then(|| entry.clone());
            let within = [entry.join(&file), entry.join(plugin).join(&file)];
            for path in itself.into_iter().chain(within).filter(|path| path.is_file()) {
                if !found.iter().any(|known| same_file(&known.path, &path)) {
                    found.push(Found { path, origin: *origin });
                }
            }
        }
        found
    }

    /// Every library on the path that exports a plugin, in the order of the path; nothing is loaded.
    pub fn all(&self) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        for (origin, entry) in &self.entries {
            for path in libraries_in(entry) {
                if !found.iter().any(|known| same_file(&known.path, &path)) {
                    found.push(Found { path, origin: *origin });
                }
            }
        }
        found
    }

    /// For messages: the folders that are there, and those that somebody named.
    pub fn describe(&self) -> String {
        let named = |origin: &Origin| matches!(origin, Origin::CommandLine | Origin::Environment | Origin::Config);
        let told = self.entries.iter().filter(|(origin, path)| named(origin) || path.exists());
        told.map(|(_, path)| path.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

/// The folder for plugins of this user: `$XDG_DATA_HOME/scaleot/plugins`, by default below `~/.local/share`.
pub fn user_folder() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?;
    Some(data.join("scaleot/plugins"))
}

/// The folder of the running program; what lies in it was built or installed with the program.
pub fn program_folder() -> Option<PathBuf> {
    std::env::current_exe().ok()?.parent().map(Path::to_path_buf)
}

fn same_file(a: &Path, b: &Path) -> bool {
    a == b || a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}

fn libraries_in(entry: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = match std::fs::read_dir(entry) {
        Ok(listing) => listing.filter_map(|item| Some(library_at(item.ok()?.path()))).collect(),
        Err(_) => vec![entry.to_path_buf()],
    };
    files.retain(|file| {
        let is_library = file.extension().is_some_and(|extension| extension == "so") && file.is_file();
        is_library && std::fs::read(file).is_ok_and(|bytes| contains_root_symbol(&bytes))
    });
    files.sort();
    files
}

/// An entry of a folder itself, or the library that the folder of an installed plugin holds.
fn library_at(entry: PathBuf) -> PathBuf {
    match entry.file_name().and_then(|name| name.to_str()).map(SearchPath::file_name) {
        Some(file) if entry.join(&file).is_file() => entry.join(file),
        _ => entry,
    }
}
