//! Perplexity of running text.
//!
//! `nll` is the mean over all targets of `-log p(token | earlier tokens of its window)`, in nats; `ppl = exp(nll)`.
//! Windows do not overlap and the first token of each is context only. The standard error is over window means (all windows have the same number of targets).

use super::{Estimate, EvaluateError, Scorer, ScoringProgress, scored};
use scaleot_data::TextWindows;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextScores {
    /// Mean and standard error of the nats per token.
    pub nll: Estimate,
    /// Scored tokens.
    pub tokens: usize,
    pub windows: usize,
}

impl TextScores {
    #[must_use]
    pub fn perplexity(&self) -> f64 {
        self.nll.mean.exp()
    }
}

/// Scores the first `limit` windows (or all), in batches of at most `batch_tokens` rows.
///
/// # Errors
/// The model's error, or a log-probability that is no number.
pub fn score_text<S: Scorer>(
    scorer: &S,
    text: &TextWindows,
    limit: Option<usize>,
    batch_tokens: usize,
    progress: &mut ScoringProgress<'_>,
) -> Result<TextScores, EvaluateError> {
    let windows = limit.map_or(text.len(), |limit| limit.min(text.len()));
    let per_batch = (batch_tokens / text.block_length()).max(1);
    let targets_each = text.block_length().saturating_sub(1).max(1);
    let mut means = Vec::with_capacity(windows);
    for first in (0..windows).step_by(per_batch) {
        let part = text.windows(first..windows.min(first + per_batch));
        let log_probs = scored(scorer, "text", &part.batch, &part.targets)?;
        let mean = |window: &[f32]| -window.iter().map(|value| f64::from(*value)).sum::<f64>() / window.len() as f64;
        means.extend(log_probs.chunks(targets_each).map(mean));
        progress(means.len(), windows);
    }
    match Estimate::of(&means) {
        Some(nll) => Ok(TextScores { nll, tokens: windows * targets_each, windows }),
        None => Err(EvaluateError::NoQuestions { what: "text".to_owned() }),
    }
}
