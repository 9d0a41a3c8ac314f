//! Multiple choice by log-likelihood.
//!
//! `L_i = Σ log p(token)` over choice `i`'s tokens. `acc`: the gold choice has the largest `L_i` (the first of equals, as numpy's argmax).
//! `acc_norm`: the largest `L_i / characters_i`, Unicode scalars of the answer without its delimiter (the harness's `acc_norm`; bytes are its `acc_bytes`).
//! Dividing by one more, for the delimiter, moves near-ties: of 299 ARC-Challenge questions SmolLM2-135M-Instruct then has 89 right instead of 94.
//! `answer_loss`: `-L_gold / tokens_gold`, nats per token, averaged over questions.

use std::path::Path;

use super::{Estimate, EvaluateError, Scorer, ScoringProgress, scored};
use scaleot_data::encode_all;
use scaleot_data::{DataError, Metric, PackedTrees, Question, Split, Subset, Task, TokenTree, Tokenizer, pack, subset};

/// A task's questions, tokenised and packed once, to be scored by many models.
#[derive(Debug)]
pub struct ChoiceSet {
    task: Task,
    questions: Vec<Question>,
    packed: Vec<PackedTrees>,
    sequence_tokens: usize,
    original: usize,
    truncated: usize,
}

/// A selection of a task's questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuestionSource<'a> {
    /// The folder that holds the data of all tasks.
    pub tasks: &'a Path,
    pub split: Split,
    pub subset: Subset,
}

/// Limits on the length of contexts and batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Positions a sequence may have: the model's context.
    pub max_tokens: usize,
    /// Rows a batch may have.
    pub batch_tokens: usize,
}

/// The scores of one model on one question.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub id: String,
    pub gold: usize,
    /// Summed log-probability of each choice.
    pub log_probs: Vec<f64>,
    /// Characters of each answer.
    pub characters: Vec<usize>,
    /// Tokens of the right answer.
    pub answer_tokens: usize,
}

/// A model's scores on a task.
#[derive(Debug, Clone, PartialEq)]
pub struct ChoiceScores {
    pub task: Task,
    /// In the order of the questions.
    pub samples: Vec<Sample>,
    /// Questions in the split, before a subset was taken.
    pub original: usize,
    /// Questions whose context lost its beginning.
    pub truncated: usize,
}

impl ChoiceSet {
    /// Reads and prepares the questions of `source`.
    ///
    /// # Errors
    /// The fault of the file or of a question.
    pub fn read(
        task: &Task,
        source: QuestionSource<'_>,
        tokenizer: &Tokenizer,
        limits: Limits,
    ) -> Result<Self, EvaluateError> {
        let all = task.questions(source.tasks, source.split)?;
        let original = all.len();
        let mut set = Self::new(task, subset(all, source.subset), tokenizer, limits)?;
        set.original = original;
        Ok(set)
    }

    /// Prepares questions at hand.
    ///
    /// # Errors
    /// No question, one that cannot be tokenised, or none that fits whole.
    pub fn new(
        task: &Task,
        questions: Vec<Question>,
        tokenizer: &Tokenizer,
        limits: Limits,
    ) -> Result<Self, EvaluateError> {
        let what = format!("task `{}`", task.name);
        if questions.is_empty() {
            return Err(EvaluateError::NoQuestions { what });
        }
        let paths = encode_all(&what, tokenizer, &questions, |question| 0..question.choices.len())?;
        let trees = questions.iter().zip(&paths);
        let trees = trees.map(|(question, paths)| TokenTree::of_paths(paths, limits.max_tokens, &question.name()));
        let trees = trees.collect::<Result<Vec<_>, _>>()?;
        let sequence_tokens = paths.iter().flatten().map(|path| path.tokens.len().saturating_sub(1)).sum();
        let truncated = trees.iter().filter(|tree| tree.truncated > 0).count();
        if truncated == trees.len() {
            return Err(DataError::AllTooLong { what, count: truncated, limit: limits.max_tokens }.into());
        }
        Ok(Self {
            task: task.clone(),
            original: questions.len(),
            questions,
            packed: pack(&trees, limits.batch_tokens),
            sequence_tokens,
            truncated,
        })
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.questions.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    /// Rows that a model computes for the whole set.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.packed.iter().map(|part| part.batch.ids.len()).sum()
    }

    /// Tokens of all choices with their contexts, as if nothing were shared.
    #[must_use]
    pub fn sequence_tokens(&self) -> usize {
        self.sequence_tokens
    }

    /// Scores every question.
    ///
    /// # Errors
    /// The model's error, or a log-probability that is no number.
    pub fn score<S: Scorer>(
        &self,
        scorer: &S,
        progress: &mut ScoringProgress<'_>,
    ) -> Result<ChoiceScores, EvaluateError> {
        let what = format!("task `{}`", self.task.name);
        let mut samples: Vec<(usize, Sample)> = Vec::with_capacity(self.len());
        for part in &self.packed {
            let log_probs = scored(scorer, &what, &part.batch, &part.targets)?;
            let questions = part.questions.iter().filter_map(|packed| {
                let question = self.questions.get(packed.index)?;
                Some((packed.index, sample(question, &packed.choices, &log_probs)))
            });
            samples.extend(questions);
            progress(samples.len(), self.len());
        }
        samples.sort_by_key(|(index, _)| *index);
        Ok(ChoiceScores {
            task: self.task.clone(),
            samples: samples.into_iter().map(|(_, sample)| sample).collect(),
            original: self.original,
            truncated: self.truncated,
        })
    }
}

fn sample(question: &Question, choices: &[Vec<usize>], log_probs: &[f32]) -> Sample {
    let sum = |targets: &Vec<usize>| {
        targets.iter().filter_map(|target| log_probs.get(*target)).map(|value| f64::from(*value)).sum()
    };
    Sample {
        id: question.id.clone(),
        gold: question.gold,
        log_probs: choices.iter().map(sum).collect(),
        characters: question.choices.iter().map(|choice| choice.characters).collect(),
        answer_tokens: choices.get(question.gold).map_or(0, Vec::len),
    }
}

impl Sample {
    /// 1 when the gold choice has the largest sum.
    #[must_use]
    pub fn acc(&self) -> f64 {
        f64::from(u8::from(first_largest(self.log_probs.iter().copied()) == Some(self.gold)))
    }

    /// 1 when the gold choice has the largest sum per character. An empty answer counts as one character.
    #[must_use]
    pub fn acc_norm(&self) -> f64 {
        let per_character =
            self.log_probs.iter().zip(&self.characters).map(|(sum, length)| sum / (*length).max(1) as f64);
        f64::from(u8::from(first_largest(per_character) == Some(self.gold)))
    }

    /// Nats per token of the gold choice.
    #[must_use]
    pub fn answer_loss(&self) -> f64 {
        self.log_probs.get(self.gold).map_or(f64::NAN, |sum| -sum / self.answer_tokens.max(1) as f64)
    }

    #[must_use]
    pub fn value(&self, metric: Metric) -> f64 {
        match metric {
            Metric::Acc => self.acc(),
            Metric::AccNorm => self.acc_norm(),
            Metric::AnswerLoss => self.answer_loss(),
        }
    }
}

fn first_largest(values: impl Iterator<Item = f64>) -> Option<usize> {
    let larger = |best: Option<(usize, f64)>, (index, value): (usize, f64)| match best {
        Some((_, largest)) if value <= largest => best,
        _ => Some((index, value)),
    };
    values.enumerate().fold(None, larger).map(|(index, _)| index)
}

impl ChoiceScores {
    /// A metric over all questions; it need not be one that the task reports.
    #[must_use]
    pub fn estimate(&self, metric: Metric) -> Option<Estimate> {
        let values: Vec<f64> = self.samples.iter().map(|sample| sample.value(metric)).collect();
        Estimate::of(&values)
    }
}
