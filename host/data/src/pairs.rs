//! Tuning on question and answer: next-token loss on the right choice's tokens only.
//!
//! A pair is the context and gold continuation of a question, tokenised exactly as for evaluation, so what is trained is what is scored.
//! (The offsite-tuning reference tokenises the two separately and without the leading space; its own harness then scores with the space.)
//! Sequence: all tokens but the last. Targets: `(row i - 1, token i)` for the answer's tokens `i`.

use super::error::DataError;
use super::order::{BatchOrder, Batches, TrainingBatch};
use super::path::{Path, encode_all};
use super::question::Question;
use super::tokenizer::Tokenizer;
use crate::PackedBatch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairOptions {
    /// Pairs a step; the last batch of an epoch may hold fewer.
    pub batch_size: usize,
    pub seed: u64,
    /// Batch pairs of like length together.
    pub group_by_length: bool,
    /// Longer contexts lose their beginning.
    pub max_tokens: usize,
}

/// A task's training questions as pairs, in a seeded order.
#[derive(Debug)]
pub struct PairSet {
    pairs: Vec<Path>,
    order: BatchOrder,
    truncated: usize,
}

impl PairSet {
    /// Tokenises `questions`; `what` names them in messages.
    ///
    /// # Errors
    /// No question, an answer that has no token or does not fit, or no question that fits whole.
    pub fn new(
        what: &str,
        questions: &[Question],
        tokenizer: &Tokenizer,
        options: PairOptions,
    ) -> Result<Self, DataError> {
        let order = BatchOrder::new(what, questions.len(), options.batch_size, options.seed)?;
        let (mut truncated, mut pairs) = (0, Vec::with_capacity(questions.len()));
        let gold = |question: &'_ Question| question.gold..question.gold + 1;
        for (question, paths) in questions.iter().zip(encode_all(what, tokenizer, questions, gold)?) {
            for path in paths {
                let (path, was_cut) = fit(path, options.max_tokens, &question.name())?;
                truncated += usize::from(was_cut);
                pairs.push(path);
            }
        }
        if truncated == pairs.len() {
            return Err(DataError::AllTooLong { what: what.to_owned(), count: truncated, limit: options.max_tokens });
        }
        let lengths = pairs.iter().map(|pair| pair.tokens.len()).collect();
        let order = if options.group_by_length { order.grouped_by(lengths) } else { order };
        Ok(Self { pairs, order, truncated })
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The number of pairs that lost the beginning of their context.
    #[must_use]
    pub fn truncated(&self) -> usize {
        self.truncated
    }

    /// The pairs of these numbers as one batch; numbers past the end are left out.
    #[must_use]
    pub fn pairs(&self, numbers: impl IntoIterator<Item = usize>) -> TrainingBatch {
        let mut batch = PackedBatch::default();
        let mut targets = Vec::new();
        for pair in numbers.into_iter().filter_map(|number| self.pairs.get(number)) {
            let inputs = pair.tokens.get(..pair.tokens.len().saturating_sub(1)).unwrap_or_default();
            let start = batch.push_causal(inputs);
            let answer = pair.tokens.iter().enumerate().skip(pair.answer_start);
            targets.extend(answer.map(|(index, id)| (start + index - 1, *id)));
        }
        TrainingBatch { batch, targets }
    }
}

impl Batches for PairSet {
    fn batch(&self, step: u64) -> TrainingBatch {
        self.pairs(self.order.batch(step))
    }

    fn batches_per_epoch(&self) -> u64 {
        self.order.batches_per_epoch()
    }
}

/// Cuts from the left to `max_tokens` rows (one token more than rows, since the last is only a target).
fn fit(mut path: Path, max_tokens: usize, what: &str) -> Result<(Path, bool), DataError> {
    path.check_fits(max_tokens, what)?;
    let cut = path.tokens.len().saturating_sub(max_tokens.saturating_add(1));
    path.tokens.drain(..cut);
    path.answer_start -= cut;
    Ok((path, cut > 0))
}
