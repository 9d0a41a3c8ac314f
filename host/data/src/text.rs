//! Running text for language modelling: files, tokens, windows.
//!
//! All files' tokens are put end to end (no token between them) and cut in windows of `block_length`; the remainder is dropped.
//! A window of `L` tokens is one causal sequence with `L - 1` targets: token `i + 1` from row `i`.
//! If the model expects BOS in front (`special_tokens`), every window begins with it and holds that much less of the text,
//! in training and in scoring alike; the first token of the text is then a target too.

use std::path::PathBuf;

use super::error::DataError;
use super::long_text::encode_long;
use super::order::{BatchOrder, Batches, TrainingBatch};
use super::text_file::read_text;
use super::tokenizer::Tokenizer;
use crate::PackedBatch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextOptions {
    pub block_length: usize,
    /// Windows a training batch.
    pub batch_size: usize,
    pub seed: u64,
}

/// A text as windows of tokens.
#[derive(Debug)]
pub struct TextWindows {
    /// Ids fit in 32 bits (checked by the tokenizer), and a corpus is long.
    tokens: Vec<u32>,
    block_length: usize,
    order: BatchOrder,
}

impl TextWindows {
    /// Reads, encodes and cuts `files`, in the order given.
    ///
    /// # Errors
    /// An unreadable, empty, binary or non-UTF-8 file; less text than one window.
    pub fn read(files: &[PathBuf], tokenizer: &Tokenizer, options: TextOptions) -> Result<Self, DataError> {
        Self::from_tokens(&file_names(files), tokens_of(files, tokenizer, options.block_length)?, options)
    }

    /// As [`read`](Self::read), with one window of `share` held out, the last ones: `(train, held out)`.
    ///
    /// # Errors
    /// As [`read`](Self::read), for either part.
    pub fn read_split(
        files: &[PathBuf],
        tokenizer: &Tokenizer,
        options: TextOptions,
        share: usize,
    ) -> Result<(Self, Self), DataError> {
        let mut tokens = tokens_of(files, tokenizer, options.block_length)?;
        let windows = tokens.len() / options.block_length.max(1);
        if windows < 2 {
            let (what, found, block_length) = (file_names(files), tokens.len(), options.block_length);
            return Err(DataError::NoHeldOut { what, found, block_length });
        }
        let kept = windows - windows.div_ceil(share.max(1));
        let held_out = tokens.split_off((kept * options.block_length).min(tokens.len()));
        let what = file_names(files);
        let held_out = Self::from_tokens(&format!("{what} (held-out part)"), held_out, options)?;
        Ok((Self::from_tokens(&what, tokens, options)?, held_out))
    }

    /// The windows of a text already encoded; `what` names it in messages.
    ///
    /// # Errors
    /// A window without targets, or less text than one window.
    pub fn from_tokens(what: &str, tokens: Vec<u32>, options: TextOptions) -> Result<Self, DataError> {
        let TextOptions { block_length, batch_size, seed } = options;
        if block_length < 2 {
            return Err(DataError::Option { key: "block_length", found: block_length, expected: "at least 2" });
        }
        let windows = tokens.len() / block_length;
        if windows == 0 {
            return Err(DataError::TooLittleText { what: what.to_owned(), found: tokens.len(), block_length });
        }
        let order = BatchOrder::new(what, windows, batch_size, seed)?;
        Ok(Self { tokens, block_length, order })
    }

    /// The same windows in the same seeded order, with another number of windows in a batch.
    ///
    /// # Errors
    /// A batch size of 0.
    pub fn with_batch_size(self, what: &str, batch_size: usize, seed: u64) -> Result<Self, DataError> {
        let order = BatchOrder::new(what, self.len(), batch_size, seed)?;
        Ok(Self { order, ..self })
    }

    /// The number of windows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len() / self.block_length
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[must_use]
    pub fn block_length(&self) -> usize {
        self.block_length
    }

    /// The windows of these numbers as one batch; numbers past the end are left out.
    #[must_use]
    pub fn windows(&self, numbers: impl IntoIterator<Item = usize>) -> TrainingBatch {
        let mut batch = PackedBatch::default();
        let mut targets = Vec::new();
        for number in numbers {
            let first = number.saturating_mul(self.block_length);
            let Some(ids) = self.tokens.get(first..first.saturating_add(self.block_length)) else {
                continue;
            };
            let ids: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
            let start = batch.push_causal(&ids);
            targets.extend((start..).zip(ids.into_iter().skip(1)));
        }
        TrainingBatch { batch, targets }
    }
}

impl TextWindows {
    /// Windows of one batch.
    #[must_use]
    pub fn batch_size(&self) -> usize {
        self.order.batch_size()
    }

    /// The windows of these training steps as one batch.
    #[must_use]
    pub fn batches(&self, steps: std::ops::Range<u64>) -> TrainingBatch {
        self.windows(steps.flat_map(|step| self.order.batch(step)))
    }
}

impl Batches for TextWindows {
    fn batch(&self, step: u64) -> TrainingBatch {
        self.windows(self.order.batch(step))
    }

    fn batches_per_epoch(&self) -> u64 {
        self.order.batches_per_epoch()
    }
}

fn file_names(files: &[PathBuf]) -> String {
    match files {
        [] => "no file".to_owned(),
        [one] => one.display().to_string(),
        [first, rest @ ..] => format!("{} and {} more", first.display(), rest.len()),
    }
}

/// The tokens of all files, end to end; every window's worth begins with what the model expects in front.
fn tokens_of(files: &[PathBuf], tokenizer: &Tokenizer, block_length: usize) -> Result<Vec<u32>, DataError> {
    // Checked by the tokenizer against its vocabulary, which is smaller.
    let narrow = |ids: &[i64]| -> Vec<u32> { ids.iter().filter_map(|id| u32::try_from(*id).ok()).collect() };
    let in_front = narrow(&tokenizer.special().in_front);
    let mut tokens = Vec::new();
    for file in files {
        let ids = narrow(&encode_long(tokenizer, &read_text(file)?)?);
        // A file that begins with BOS itself needs no second one.
        let begun = if in_front.is_empty() { None } else { ids.strip_prefix(in_front.as_slice()) };
        tokens.extend_from_slice(begun.unwrap_or(&ids));
    }
    let of_text = block_length.saturating_sub(in_front.len());
    if in_front.is_empty() || of_text == 0 {
        return Ok(tokens);
    }
    Ok(tokens.chunks(of_text).flat_map(|part| in_front.iter().chain(part)).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ancestry, Sequence};

    fn windows(tokens: u32, block_length: usize, batch_size: usize) -> Result<TextWindows, DataError> {
        TextWindows::from_tokens("a.txt", (0..tokens).collect(), TextOptions { block_length, batch_size, seed: 3 })
    }

    #[test]
    fn windows_do_not_overlap_and_the_rest_is_dropped() {
        let text = windows(11, 4, 1).unwrap();
        assert_eq!(text.len(), 2);
        let both = text.windows([1, 0, 2]);
        assert_eq!(both.batch.ids, [4, 5, 6, 7, 0, 1, 2, 3]);
        assert_eq!(both.batch.positions, [0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(both.targets, [(0, 5), (1, 6), (2, 7), (4, 1), (5, 2), (6, 3)]);
        assert_eq!(both.batch.sequences[1], Sequence { start: 4, len: 4, ancestry: Ancestry::Causal });
    }

    #[test]
    fn a_batch_is_a_function_of_seed_and_step() {
        let (one, other) = (windows(400, 4, 8).unwrap(), windows(400, 4, 8).unwrap());
        let first: Vec<_> = (0..30).map(|step| one.batch(step)).collect();
        assert_eq!(other.batch(29), first[29]);
        assert_eq!(one.batches_per_epoch(), 13);
        assert_ne!(first[0], first[13]);
    }

    #[test]
    fn short_texts_are_refused() {
        let message = |tokens, length, batch| windows(tokens, length, batch).unwrap_err().to_string();
        assert_eq!(
            message(3, 4, 1),
            "a.txt: found 3 tokens, expected at least one window of 4. Lower `block_length` in the section that names the text, or add text"
        );
        assert_eq!(message(9, 1, 1), "`block_length`: found 1, expected at least 2");
        assert_eq!(windows(9, 4, 3).unwrap().batches_per_epoch(), 1, "two windows are one short batch of three");
    }
}
