//! A choice as tokens, context then answer, split as lm-evaluation-harness 0.4.13 splits it (`_encode_pair`).
//!
//! `context = encode(text before)`, `answer = encode(text before + answer)[len(context)..]`: what the two encodings share is not looked at,
//! so where a token spans the join, the context keeps its own tokens and the answer loses those of the joint encoding that it covers.
//! White space at the end of the context goes to the answer first. Both encodings begin with what the model expects in front (`special_tokens`);
//! an empty context is BOS, else EOS, and an answer that begins with that token lends it.

use std::ops::Range;

use super::error::{DataError, quote};
use super::question::{Choice, Question};
use super::tokenizer::Tokenizer;

/// Questions that one message names.
const NAMED: usize = 20;

/// The tokens of one choice; those from `answer_start` on are scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    pub tokens: Vec<i64>,
    pub answer_start: usize,
    /// The answer's text, for messages.
    pub continuation: String,
}

impl Path {
    /// Tokenises one choice; none where the answer has no token of its own.
    ///
    /// # Errors
    /// The tokenizer failed, or nothing can stand for an empty context; `what` names the question.
    pub fn encode(tokenizer: &Tokenizer, choice: &Choice, what: &str) -> Result<Option<Self>, DataError> {
        let context = choice.context.trim_end_matches(is_space);
        let whole = format!("{}{}", choice.context, choice.continuation);
        let (context, answer) = if context.is_empty() {
            after_nothing(tokenizer, &whole, what)?
        } else {
            let (context, mut whole) = (tokenizer.encode_input(context)?, tokenizer.encode_input(&whole)?);
            let answer = whole.split_off(context.len().min(whole.len()));
            (context, answer)
        };
        let (answer_start, has_answer) = (context.len(), !answer.is_empty());
        let path = Self { tokens: [context, answer].concat(), answer_start, continuation: choice.continuation.clone() };
        Ok(has_answer.then_some(path))
    }

    /// The tokens before the answer.
    #[must_use]
    pub fn context(&self) -> &[i64] {
        self.tokens.get(..self.answer_start).unwrap_or_default()
    }

    /// Refuses an answer that no cut of its context makes fit: one context token has to stay, since the first answer token is
    /// predicted from it, and the last answer token needs no position.
    ///
    /// # Errors
    /// The answer alone is longer than `max_tokens`.
    pub(crate) fn check_fits(&self, max_tokens: usize, what: &str) -> Result<(), DataError> {
        let found = self.tokens.len().saturating_sub(self.answer_start);
        if found <= max_tokens {
            return Ok(());
        }
        let (what, text) = (what.to_owned(), quote(&self.continuation));
        Err(DataError::AnswerTooLong { what, text, found, limit: max_tokens })
    }
}

/// The paths of the choices that `which` names of each question.
///
/// # Errors
/// Questions with an answer that has no token of its own, all in one message; what [`Path::encode`] refuses.
pub fn encode_all(
    what: &str,
    tokenizer: &Tokenizer,
    questions: &[Question],
    which: impl Fn(&Question) -> Range<usize>,
) -> Result<Vec<Vec<Path>>, DataError> {
    let (mut encoded, mut swallowed) = (Vec::with_capacity(questions.len()), Vec::new());
    for question in questions {
        let (name, mut paths, mut lost) = (question.name(), Vec::new(), None);
        for choice in question.choices.get(which(question)).unwrap_or_default() {
            match Path::encode(tokenizer, choice, &name)? {
                Some(path) => paths.push(path),
                None => lost = lost.or(Some(choice)),
            }
        }
        swallowed.extend(
            lost.map(|choice| format!("{name} ({} after {})", quote(&choice.continuation), end(&choice.context))),
        );
        encoded.push(paths);
    }
    if swallowed.is_empty() {
        return Ok(encoded);
    }
    let (count, of) = (swallowed.len(), questions.len());
    swallowed.truncate(NAMED);
    let more = count.saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Err(DataError::NoAnswerToken { what: what.to_owned(), count, of, shown: swallowed.join(", ") + &more })
}

/// Context and answer where no text comes before the answer.
fn after_nothing(tokenizer: &Tokenizer, answer: &str, what: &str) -> Result<(Vec<i64>, Vec<i64>), DataError> {
    let mut answer = tokenizer.encode(answer)?;
    let Some(prefix) = tokenizer.special().prefix() else {
        return Err(DataError::NoContext { what: what.to_owned() });
    };
    if answer.first() == Some(&prefix) {
        answer.remove(0);
    }
    Ok((vec![prefix], answer))
}

/// The last characters of a context, for messages.
fn end(context: &str) -> String {
    let count = context.chars().count();
    let last: String = context.chars().skip(count.saturating_sub(20)).collect();
    if count > 20 { format!("…{}", quote(&last)) } else { quote(&last) }
}

/// White space by Python's `str.isspace`: Unicode's, and the four separators of ASCII.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}
