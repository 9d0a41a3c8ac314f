//! The data of a run, read before any work: a file that cannot be used must not be found after an hour of importance.
//!
//! Public text is read by the first stage that there is, so that nothing is lost where it is refused there; it is read here
//! for those that ask without running.

use crate::error::StageError;
use crate::load::load_tokenizer;
use crate::training::read_pairs;
use scaleot_config::RunConfig;
use scaleot_data::{TaskSet, TextOptions, TextWindows};
use scaleot_model::ModelConfig;

/// Reads what is tuned on and the questions and texts of the table, with the model's tokenizer.
///
/// # Errors
/// The first file, line or sample that a stage would refuse.
pub fn read_data(config: &RunConfig, model: &ModelConfig) -> Result<(), StageError> {
    let tokenizer = load_tokenizer(&config.model.path, model.vocabulary)?;
    if config.data.task.is_some() || !config.data.text.is_empty() {
        read_pairs(config, &config.tune, &tokenizer, model.context)?;
    }
    let tasks = TaskSet::with_folder(&config.data.folder)?;
    for name in &config.evaluate.tasks {
        tasks.get(name)?.questions(&config.data.folder, config.evaluate.split)?;
    }
    if !config.evaluate.text.is_empty() {
        let block_length = (config.evaluate.block_length as usize).min(model.context);
        TextWindows::read(&config.evaluate.text, &tokenizer, TextOptions { block_length, batch_size: 1, seed: 0 })?;
    }
    Ok(())
}

/// Reads the owner's public text as the stages cut it.
///
/// # Errors
/// A file that cannot be read, or too little text.
pub fn read_public_text(config: &RunConfig, model: &ModelConfig) -> Result<(), StageError> {
    let files = &config.public_data.text;
    if files.is_empty() {
        return Ok(());
    }
    let tokenizer = load_tokenizer(&config.model.path, model.vocabulary)?;
    let block_length = (config.public_data.block_length as usize).min(model.context);
    let batch_size = config.importance.batch_size.get() as usize;
    TextWindows::read_split(files, &tokenizer, TextOptions { block_length, batch_size, seed: 0 }, 20)?;
    Ok(())
}
