//! A packed batch: the tokens of all sequences one after another, without padding.
//!
//! `ids` and `positions` are `[tokens]`; each sequence is a range of them. In a causal sequence a
//! token sees itself and all before it; in a tree it sees itself and its ancestors only, so that
//! several continuations share one context.

use super::error::BatchError;

/// The tokens that a token of a sequence may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ancestry {
    /// Itself and everything before it.
    Causal,
    /// Itself and its ancestors: for each token its parent, counted from the start of the sequence.
    Tree(Vec<Option<usize>>),
}

/// A range of the pack that attends to nothing outside itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    pub start: usize,
    pub len: usize,
    pub ancestry: Ancestry,
}

/// Token ids and positions of all sequences; `sequences` covers them without gaps, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackedBatch {
    pub ids: Vec<i64>,
    pub positions: Vec<i64>,
    pub sequences: Vec<Sequence>,
}

impl PackedBatch {
    /// An empty batch, to be filled with `push_causal`.
    pub fn new() -> Self {
        PackedBatch::default()
    }

    /// Causal sequences with positions from 0.
    pub fn causal<'a>(sequences: impl IntoIterator<Item = &'a [i64]>) -> Self {
        let mut batch = PackedBatch::new();
        for ids in sequences {
            batch.push_causal(ids);
        }
        batch
    }

    /// The number of tokens in all.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// Adds a causal sequence; returns the row of its first token.
    pub fn push_causal(&mut self, ids: &[i64]) -> usize {
        let start = self.ids.len();
        self.ids.extend_from_slice(ids);
        self.positions.extend(0..ids.len() as i64);
        self.sequences.push(Sequence { start, len: ids.len(), ancestry: Ancestry::Causal });
        start
    }

    /// Refuses a batch that the model cannot run, naming the first thing wrong.
    ///
    /// # Errors
    /// The first fault of the batch.
    pub fn check(&self, vocabulary: usize, context: usize) -> Result<(), BatchError> {
        let wrong = |what: &str, found: String, expected: String| BatchError { what: what.to_owned(), found, expected };
        let tokens = self.ids.len();
        if tokens == 0 {
            return Err(wrong("number of tokens", "0".into(), "at least 1".into()));
        }
        if self.positions.len() != tokens {
            let found = self.positions.len().to_string();
            return Err(wrong("number of positions", found, format!("{tokens}, as there are tokens")));
        }
        if let Some(id) = self.ids.iter().find(|&&id| id < 0 || id >= vocabulary as i64) {
            let expected = format!("from 0 to {}; is the tokenizer of another model?", vocabulary - 1);
            return Err(wrong("token id", id.to_string(), expected));
        }
        if let Some(position) = self.positions.iter().find(|&&p| p < 0 || p >= context as i64) {
            let expected = format!("from 0 to {}; cut the text into shorter windows", context - 1);
            return Err(wrong("position", position.to_string(), expected));
        }
        let mut next = 0;
        for sequence in &self.sequences {
            if sequence.start != next || sequence.len == 0 {
                let found = format!("{} tokens from row {}", sequence.len, sequence.start);
                return Err(wrong("sequence", found, format!("at least one token from row {next}")));
            }
            check_tree(sequence)?;
            next += sequence.len;
        }
        if next == tokens {
            return Ok(());
        }
        Err(wrong("tokens in sequences", next.to_string(), tokens.to_string()))
    }
}

fn check_tree(sequence: &Sequence) -> Result<(), BatchError> {
    let Ancestry::Tree(parents) = &sequence.ancestry else { return Ok(()) };
    let wrong = |found: String, expected: String| Err(BatchError { what: "tree".to_owned(), found, expected });
    if parents.len() != sequence.len {
        return wrong(format!("{} parents", parents.len()), format!("{}", sequence.len));
    }
    for (token, parent) in parents.iter().enumerate() {
        if parent.is_some_and(|parent| parent >= token) {
            return wrong(format!("parent {parent:?} of token {token}"), "an earlier token".into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_run_is_named() {
        let check = |batch: &PackedBatch| batch.check(10, 4).unwrap_err().to_string();
        let good = PackedBatch::causal([[1i64, 2, 3].as_slice()]);
        assert_eq!(check(&PackedBatch::new()), "batch: number of tokens is 0, expected at least 1");
        let mut bad = good.clone();
        bad.ids[1] = 10;
        assert!(check(&bad).starts_with("batch: token id is 10, expected from 0 to 9"));
        let mut bad = good.clone();
        bad.positions[2] = 4;
        assert!(check(&bad).starts_with("batch: position is 4, expected from 0 to 3"));
        let mut bad = good.clone();
        bad.sequences[0].len = 2;
        assert_eq!(check(&bad), "batch: tokens in sequences is 2, expected 3");
        let mut bad = good;
        bad.sequences[0].ancestry = Ancestry::Tree(vec![None, Some(1), None]);
        assert_eq!(check(&bad), "batch: tree is parent Some(1) of token 1, expected an earlier token");
    }
}
