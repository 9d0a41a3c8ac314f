//! A multiple-choice question as text, whatever its task.
//!
//! Each choice has a context and a continuation; most tasks share one context and vary the continuation,
//! WinoGrande varies the context and shares the continuation.

use std::collections::HashSet;

use super::error::quote;
use super::order::{shuffle, stream};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The set's own id, or the line number.
    pub id: String,
    pub choices: Vec<Choice>,
    /// Index of the right choice; always below `choices.len()`.
    pub gold: usize,
}

impl Question {
    /// As messages name it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("question {}", quote(&self.id))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub context: String,
    /// The scored text: the delimiter, then the answer.
    pub continuation: String,
    /// Characters of the answer without its delimiter: what `acc_norm` divides by.
    pub characters: usize,
}

/// The questions to take of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subset {
    All,
    /// As lm-evaluation-harness's `--limit`.
    First(usize),
    /// A draw without replacement, in the set's order.
    Seeded {
        count: usize,
        seed: u64,
    },
}

/// The chosen questions, in their order; all of them when fewer than asked for.
#[must_use]
pub fn subset(mut questions: Vec<Question>, which: Subset) -> Vec<Question> {
    match which {
        Subset::All => questions,
        Subset::First(count) => {
            questions.truncate(count);
            questions
        }
        Subset::Seeded { count, seed } => {
            let mut order: Vec<usize> = (0..questions.len()).collect();
            shuffle(&mut order, &mut stream(seed, 0));
            let kept: HashSet<usize> = order.into_iter().take(count).collect();
            let mut index = 0..;
            questions.retain(|_| index.next().is_some_and(|i| kept.contains(&i)));
            questions
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(range: std::ops::Range<usize>) -> Vec<Question> {
        let choice = |text: String| Choice { context: text, continuation: " yes".into(), characters: 3 };
        range.map(|n| Question { id: n.to_string(), choices: vec![choice(format!("q{n}"))], gold: 0 }).collect()
    }

    #[test]
    fn subsets_keep_the_order() {
        let ids = |which| subset(set(0..50), which).iter().map(|q| q.id.parse().unwrap()).collect::<Vec<usize>>();
        assert_eq!(ids(Subset::All).len(), 50);
        assert_eq!(ids(Subset::First(3)), [0, 1, 2]);
        let drawn = ids(Subset::Seeded { count: 10, seed: 1 });
        assert_eq!(drawn.len(), 10);
        assert!(drawn.is_sorted());
        assert_ne!(drawn, ids(Subset::Seeded { count: 10, seed: 2 }));
        assert_eq!(ids(Subset::Seeded { count: 99, seed: 1 }).len(), 50);
    }
}
