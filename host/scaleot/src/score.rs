//! Scoring with a clock on it: from the first question read to the last one scored.

use super::args::BareArgs;
use super::clock;
use super::progress::Bars;
use scaleot_data::{DataError, Subset, Task, TextOptions, TextWindows, Tokenizer, subset};
use scaleot_model::Decoder;
use scaleot_pipeline::error::StageError;
use scaleot_pipeline::evaluation::{ChoiceScores, ChoiceSet, Limits, TextScores, score_text};
use scaleot_pipeline::progress::Progress as _;
use std::time::Instant;

/// Tokens of a window for perplexity.
const WINDOW: usize = 1024;

/// A decoder to score.
pub struct Subject<'a> {
    pub decoder: &'a Decoder,
    pub tokenizer: &'a Tokenizer,
    /// Rows of one forward pass.
    pub batch_tokens: usize,
}

/// The time of a scoring, in seconds.
pub struct Timing {
    /// Reading, tokenising and scoring.
    pub seconds: f64,
    /// From the start of the process to the first scored batch.
    pub first: f64,
}

/// A task's scores.
pub struct Scored {
    pub scores: ChoiceScores,
    /// Tokens of all choices with their contexts, as if nothing were shared: the measure that other programs can be held to.
    pub tokens: usize,
    pub timing: Timing,
}

/// Scores the first questions of a split.
pub fn score_task(subject: &Subject<'_>, task: &Task, args: &BareArgs, bars: &mut Bars) -> Result<Scored, StageError> {
    let began = Instant::now();
    let split = args.split;
    let questions = task.questions(&args.tasks_folder, split)?;
    let original = questions.len();
    let questions = subset(questions, args.limit.map_or(Subset::All, Subset::First));
    let limits = Limits { max_tokens: subject.decoder.config.context, batch_tokens: subject.batch_tokens };
    let set = ChoiceSet::new(task, questions, subject.tokenizer, limits)?;
    bars.begin(&task.name, set.len() as u64);
    let mut first = None;
    let mut scores = set.score(subject.decoder, &mut |done, _| {
        first.get_or_insert_with(clock::since_process_start);
        bars.at(done as u64, "");
    })?;
    let seconds = began.elapsed().as_secs_f64();
    bars.end("");
    scores.original = original;
    let tokens = set.sequence_tokens();
    Ok(Scored { scores, tokens, timing: Timing { seconds, first: first.unwrap_or(seconds) } })
}

/// Scores the first windows of text files.
pub fn score_texts(
    subject: &Subject<'_>,
    args: &BareArgs,
    bars: &mut Bars,
) -> Result<(TextScores, Timing), StageError> {
    let began = Instant::now();
    let block_length = WINDOW.min(subject.decoder.config.context);
    let options = TextOptions { block_length, batch_size: 1, seed: 0 };
    let windows: Result<TextWindows, DataError> = TextWindows::read(&args.text, subject.tokenizer, options);
    let windows = windows?;
    bars.begin("text", args.limit.map_or(windows.len(), |limit| limit.min(windows.len())) as u64);
    let mut first = None;
    let scores = score_text(subject.decoder, &windows, args.limit, subject.batch_tokens, &mut |done, _| {
        first.get_or_insert_with(clock::since_process_start);
        bars.at(done as u64, "");
    })?;
    bars.end("");
    let seconds = began.elapsed().as_secs_f64();
    Ok((scores, Timing { seconds, first: first.unwrap_or(seconds) }))
}
