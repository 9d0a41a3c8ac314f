//! The tasks and texts that a config names, looked at before anything is computed: hours of the owner's stages must not end in a task that
//! nobody has, or in a text that is none.

use scaleot_config::{ConfigNeed, KeyPath, RunConfig};
use scaleot_data::{DataError, Split, Task, TaskSet, check_text};
use scaleot_pipeline::error::StageError;

use super::failure::{ErrorContext as _, ProgramError, VerbResult, stage};
use super::key_place::place;

/// Each task that the config names is one that we have, with the splits that `needs` is about to read; each text is running text.
pub fn check_data(config: &RunConfig, needs: &[ConfigNeed]) -> VerbResult<()> {
    let tasks = stage(TaskSet::with_folder(&config.data.folder))?;
    for (key, name) in config.data.task.iter().map(|name| (KeyPath::of("data").key("task"), name)) {
        let task = find(config, &tasks, &key, name, needs.contains(&ConfigNeed::Data))?;
        if let Some(task) = task.filter(|_| needs.contains(&ConfigNeed::Data)) {
            [Split::Train, Split::Validation].into_iter().try_for_each(|split| readable(config, &key, task, split))?;
        }
    }
    let keys = (0..).map(|index| KeyPath::of("evaluate").key("tasks").index(index));
    for (key, name) in keys.zip(&config.evaluate.tasks) {
        let needed = needs.contains(&ConfigNeed::Evaluate);
        let task = find(config, &tasks, &key, name, needed)?;
        if let Some(task) = task.filter(|_| needed) {
            readable(config, &key, task, config.evaluate.split)?;
        }
    }
    check_texts(config, needs)
}

/// Refuses a table without a row.
pub fn check_evaluated(config: &RunConfig) -> VerbResult<()> {
    if !config.evaluate.tasks.is_empty() || !config.evaluate.text.is_empty() {
        return Ok(());
    }
    let what = "nothing to evaluate: `evaluate.tasks` and `evaluate.text` are empty and `data.task` names no task; \
                name a task, or a text file that was not tuned on, such as evaluate.text=[\"held-out.txt\"]";
    Err(ProgramError::Usage(what.to_owned()).into())
}

/// None for the data owner's own task where a verb of the model owner needs no data and has no folder of it.
fn find<'a>(
    config: &RunConfig,
    tasks: &'a TaskSet,
    key: &KeyPath,
    name: &str,
    needed: bool,
) -> VerbResult<Option<&'a Task>> {
    match tasks.get(name) {
        Ok(task) => Ok(Some(task)),
        Err(DataError::UnknownTask { .. }) if !needed && !config.data.folder.is_dir() => Ok(None),
        Err(error) => Err(ProgramError::Usage(error.to_string())).with_context(|| place(config, key)),
    }
}

/// The set has this split, and its file can be opened.
fn readable(config: &RunConfig, key: &KeyPath, task: &Task, split: Split) -> VerbResult<()> {
    let open = || -> Result<(), DataError> {
        let file = task.file(&config.data.folder, split)?;
        std::fs::File::open(&file).map(drop).map_err(|source| DataError::Read { file, source })
    };
    stage(open()).with_context(|| place(config, key))
}

fn check_texts(config: &RunConfig, needs: &[ConfigNeed]) -> VerbResult<()> {
    let data = &config.data;
    let tuned_on = if data.task.is_some() { [].as_slice() } else { data.text.as_slice() };
    let texts = [
        (ConfigNeed::Data, KeyPath::of("data").key("text"), tuned_on),
        (ConfigNeed::PublicText, KeyPath::of("public_data").key("text"), config.public_data.text.as_slice()),
        (ConfigNeed::Evaluate, KeyPath::of("evaluate").key("text"), config.evaluate.text.as_slice()),
    ];
    for (_, key, files) in texts.into_iter().filter(|(need, ..)| needs.contains(need)) {
        for (index, file) in files.iter().enumerate() {
            let checked: Result<(), StageError> = stage(check_text(file));
            checked.with_context(|| place(config, &key.index(index)))?;
        }
    }
    Ok(())
}
