//! The tasks that a run knows: those that come with the program, and the user's own, `NAME.toml` in the folder that holds the data.
//!
//! A name means one task: an own task that has the name of another is refused where it is asked for, since results are known by that name.
//! A file that cannot be read as a task is no hindrance to the others; it is told of where its name is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::error::{DataError, quote};
use super::task::Task;
use scaleot_store::without_mark;

const BUILT_IN: [(&str, &str); 11] = [
    ("arc_challenge.toml", include_str!("tasks/arc_challenge.toml")),
    ("arc_easy.toml", include_str!("tasks/arc_easy.toml")),
    ("boolq.toml", include_str!("tasks/boolq.toml")),
    ("commonsense_qa.toml", include_str!("tasks/commonsense_qa.toml")),
    ("copa.toml", include_str!("tasks/copa.toml")),
    ("hellaswag.toml", include_str!("tasks/hellaswag.toml")),
    ("openbookqa.toml", include_str!("tasks/openbookqa.toml")),
    ("piqa.toml", include_str!("tasks/piqa.toml")),
    ("sciq.toml", include_str!("tasks/sciq.toml")),
    ("social_iqa.toml", include_str!("tasks/social_iqa.toml")),
    ("winogrande.toml", include_str!("tasks/winogrande.toml")),
];

/// The known tasks, by name.
#[derive(Debug, Clone)]
pub struct TaskSet {
    built_in: BTreeMap<String, Task>,
    /// By name: every own task that has it, with its file.
    own: BTreeMap<String, Vec<(Task, PathBuf)>>,
    /// Files that are no tasks, by their names without `.toml`.
    refused: BTreeMap<String, PathBuf>,
}

impl TaskSet {
    /// The tasks that come with the program.
    ///
    /// # Errors
    /// None in a build that passed its tests.
    pub fn built_in() -> Result<Self, DataError> {
        let parse = |(file, text)| Task::parse(text, file).map(|task| (task.name.clone(), task));
        let built_in = BUILT_IN.into_iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { built_in, own: BTreeMap::new(), refused: BTreeMap::new() })
    }

    /// As [`built_in`](Self::built_in), with every `*.toml` of `folder` that is a task; a folder that is not there has none.
    ///
    /// # Errors
    /// A folder that is there and cannot be read.
    pub fn with_folder(folder: &Path) -> Result<Self, DataError> {
        let mut set = Self::built_in()?;
        if !folder.is_dir() {
            return Ok(set);
        }
        let failed = |source| DataError::Read { file: folder.to_owned(), source };
        let entries = std::fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "toml") && file.is_file());
        files.sort();
        for file in files {
            match read(&file) {
                Ok(task) => set.own.entry(task.name.clone()).or_default().push((task, file)),
                Err(_) => {
                    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
                    set.refused.insert(stem, file);
                }
            }
        }
        Ok(set)
    }

    /// The task of this name.
    ///
    /// # Errors
    /// No such task (the message has the nearest name), two of them, or a file of this name that is no task.
    pub fn get(&self, name: &str) -> Result<&Task, DataError> {
        let own = self.own.get(name).map(Vec::as_slice).unwrap_or_default();
        match (self.built_in.get(name), own) {
            (Some(task), []) | (None, [(task, _)]) => Ok(task),
            (Some(_), [(_, file), ..]) => Err(duplicate_name(name, file, "a task of the program")),
            (None, [(_, first), (_, file), ..]) => Err(duplicate_name(name, file, &first.display().to_string())),
            (None, []) => Err(match self.refused.get(name).map(|file| read(file)) {
                Some(Err(error)) => error,
                _ => self.unknown(name),
            }),
        }
    }

    /// Every name that is known, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.built_in.keys().chain(self.own.keys()).map(String::as_str).collect::<BTreeSet<_>>().into_iter()
    }

    fn unknown(&self, name: &str) -> DataError {
        let near = self.names().map(|known| (strsim::damerau_levenshtein(known, name), known)).min();
        let hint = near
            .filter(|(distance, _)| *distance <= 3)
            .map_or_else(String::new, |(_, known)| format!(", did you mean `{known}`"));
        let known = self.names().collect::<Vec<_>>().join(", ");
        DataError::UnknownTask { name: name.escape_debug().take(60).collect(), hint, known }
    }
}

fn read(file: &Path) -> Result<Task, DataError> {
    let failed = |source| DataError::Read { file: file.to_owned(), source };
    let bytes = std::fs::read(file).map_err(failed)?;
    let refused = |message: String| DataError::TaskSyntax { file: file.display().to_string(), message };
    let plain = without_mark(&bytes).map_err(|problem| refused(problem.to_string()))?;
    let text = std::str::from_utf8(plain).map_err(|_| refused("not UTF-8".to_owned()))?;
    Task::parse(text, &file.display().to_string())
}

fn duplicate_name(name: &str, file: &Path, other: &str) -> DataError {
    DataError::TaskKey {
        file: file.display().to_string(),
        key: "name",
        found: format!("{}, which {other} has", quote(name)),
        expected: "a name of its own".to_owned(),
    }
}
