//! The pairs or the text that a config trains on.

use crate::error::StageError;
use crate::seed::seed_for;
use scaleot_config::{RunConfig, TrainingSection};
use scaleot_data::{
    Batches, PairOptions, PairSet, Split, Subset, TaskSet, TextOptions, TextWindows, Tokenizer, subset,
};

/// Training and validation pairs.
pub struct Pairs {
    /// Batches to train on.
    pub train: Box<dyn Batches>,
    /// Held-out batches.
    pub validation: Box<dyn Batches>,
}

/// Reads the pairs or the text that a config trains on; also called before any work, to refuse what cannot be read.
///
/// # Errors
/// The first file, line or sample that cannot be used.
pub fn read_pairs(
    config: &RunConfig,
    section: &TrainingSection,
    tokenizer: &Tokenizer,
    context: usize,
) -> Result<Pairs, StageError> {
    let data = &config.data;
    let options = PairOptions {
        batch_size: section.batch_size.get() as usize,
        seed: seed_for(config.seed_of(section), "order of pairs"),
        group_by_length: true,
        max_tokens: context,
    };
    let Some(task) = &data.task else {
        return text_pairs(config, tokenizer, options);
    };
    let tasks = TaskSet::with_folder(&data.folder)?;
    let task = tasks.get(task)?;
    let limit = |limit: Option<std::num::NonZeroU32>, seed| match limit {
        None => Subset::All,
        Some(count) => Subset::Seeded { count: count.get() as usize, seed },
    };
    let read = |split, limit| -> Result<Box<dyn Batches>, StageError> {
        let questions = subset(task.questions(&data.folder, split)?, limit);
        let what = task.file(&data.folder, split)?.display().to_string();
        let pairs = PairSet::new(&what, &questions, tokenizer, options)?;
        Ok(Box::new(pairs) as Box<dyn Batches>)
    };
    Ok(Pairs {
        train: read(Split::Train, limit(data.train_limit, options.seed))?,
        validation: read(Split::Validation, limit(data.validation_limit, options.seed))?,
    })
}

/// Plain text: the last twentieth of the blocks is held out.
fn text_pairs(config: &RunConfig, tokenizer: &Tokenizer, options: PairOptions) -> Result<Pairs, StageError> {
    let block_length = (config.data.block_length as usize).min(options.max_tokens);
    let text_options = TextOptions { block_length, batch_size: options.batch_size, seed: options.seed };
    let files = &config.data.text;
    let (train, validation) = TextWindows::read_split(files, tokenizer, text_options, 20)?;
    Ok(Pairs { train: Box::new(train), validation: Box::new(validation) })
}
