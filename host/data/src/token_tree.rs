//! A question as a tree of tokens: what its choices share is computed once.
//!
//! The tree is the trie of all paths without their last tokens (nothing follows those, so nobody needs their logits).
//! `log P(choice) = Σ log p(target | row)` over the choice's edges `(row, target)`; an edge that several choices share is listed once.
//! Rows are in order of insertion, so a parent comes before its children, and a question with one path is a plain sequence.

use std::collections::HashMap;

use super::error::DataError;
use super::path::Path;
use crate::Ancestry;

/// The trie of a question's paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenTree {
    pub ids: Vec<i64>,
    /// `None` for the first token only (or the first of each context, where choices begin differently).
    pub parents: Vec<Option<usize>>,
    pub positions: Vec<i64>,
    /// Distinct (row, id of the token that follows it), sorted.
    pub targets: Vec<(usize, i64)>,
    /// Per choice: which targets, in the order of its tokens.
    pub choices: Vec<Vec<usize>>,
    /// Tokens cut from the left of the context to fit.
    pub truncated: usize,
}

impl TokenTree {
    /// The trie of `paths`, in at most `max_tokens` positions. Where choices share their context, all lose the same number of
    /// leading tokens (the harness cuts each choice by itself, which would give them different contexts); else each by itself.
    ///
    /// # Errors
    /// A path whose answer alone does not fit.
    pub fn of_paths(paths: &[Path], max_tokens: usize, what: &str) -> Result<Self, DataError> {
        paths.iter().try_for_each(|path| path.check_fits(max_tokens, what))?;
        let shared = paths.windows(2).all(|pair| matches!(pair, [one, other] if one.context() == other.context()));
        let cut = |length: usize| length.saturating_sub(max_tokens.saturating_add(1));
        let of_all = cut(paths.iter().map(|path| path.tokens.len()).max().unwrap_or(0));
        let mut builder = Builder::default();
        for path in paths {
            let cut = if shared { of_all } else { cut(path.tokens.len()) };
            builder.add(path.tokens.get(cut..).unwrap_or_default(), path.answer_start - cut);
        }
        Ok(builder.finish(of_all))
    }

    /// Rows to compute.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The ancestors that each token attends to; a tree without branches is an ordinary sequence, which has faster kernels.
    #[must_use]
    pub fn ancestry(&self) -> Ancestry {
        let chain = self.parents.iter().enumerate().all(|(row, parent)| *parent == row.checked_sub(1));
        if chain { Ancestry::Causal } else { Ancestry::Tree(self.parents.clone()) }
    }
}

/// A tree under construction: children and edges by key.
#[derive(Default)]
struct Builder {
    tree: TokenTree,
    children: HashMap<(Option<usize>, i64), usize>,
    /// Per choice: its edges, before they are numbered.
    edges: Vec<Vec<(usize, i64)>>,
}

impl Builder {
    fn add(&mut self, tokens: &[i64], answer_start: usize) {
        let mut edges = Vec::new();
        let mut parent = None;
        let last = tokens.len().saturating_sub(1);
        for (depth, id) in tokens.iter().enumerate() {
            if let (Some(row), true) = (parent, depth >= answer_start) {
                edges.push((row, *id));
            }
            if depth < last {
                parent = Some(self.child(parent, *id, depth));
            }
        }
        self.edges.push(edges);
    }

    fn child(&mut self, parent: Option<usize>, id: i64, depth: usize) -> usize {
        let tree = &mut self.tree;
        *self.children.entry((parent, id)).or_insert_with(|| {
            tree.ids.push(id);
            tree.parents.push(parent);
            tree.positions.push(depth as i64);
            tree.ids.len() - 1
        })
    }

    fn finish(self, truncated: usize) -> TokenTree {
        let mut targets: Vec<(usize, i64)> = self.edges.iter().flatten().copied().collect();
        targets.sort_unstable();
        targets.dedup();
        let number: HashMap<(usize, i64), usize> = targets.iter().copied().zip(0..).collect();
        let numbered = |edges: Vec<(usize, i64)>| edges.iter().filter_map(|edge| number.get(edge).copied()).collect();
        let choices = self.edges.into_iter().map(numbered).collect();
        TokenTree { targets, choices, truncated, ..self.tree }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(tokens: &[i64], answer_start: usize) -> Path {
        Path {
            tokens: tokens.to_vec(),
            answer_start,
            continuation: format!(" of {} tokens", tokens.len() - answer_start),
        }
    }

    fn tree(paths: &[&[i64]], answer_start: usize, max_tokens: usize) -> Result<TokenTree, DataError> {
        let paths: Vec<Path> = paths.iter().map(|tokens| path(tokens, answer_start)).collect();
        TokenTree::of_paths(&paths, max_tokens, "question \"7\"")
    }

    #[test]
    fn shared_prefixes_become_one_chain() {
        // Context 1 2; answers 3 4 5 | 3 4 6 | 3 | 9 8.
        let tree = tree(&[&[1, 2, 3, 4, 5], &[1, 2, 3, 4, 6], &[1, 2, 3], &[1, 2, 9, 8]], 2, 100).unwrap();
        assert_eq!(tree.ids, [1, 2, 3, 4, 9]);
        assert_eq!(tree.parents, [None, Some(0), Some(1), Some(2), Some(1)]);
        assert_eq!(tree.positions, [0, 1, 2, 3, 2]);
        assert_eq!(tree.targets, [(1, 3), (1, 9), (2, 4), (3, 5), (3, 6), (4, 8)]);
        assert_eq!(tree.choices, [vec![0, 2, 3], vec![0, 2, 4], vec![0], vec![1, 5]]);
        assert!(matches!(tree.ancestry(), Ancestry::Tree(_)));
    }

    #[test]
    fn one_token_answers_make_a_plain_sequence() {
        let tree = tree(&[&[1, 2, 3], &[1, 2, 4]], 2, 100).unwrap();
        assert_eq!((tree.ids.as_slice(), tree.ancestry()), ([1, 2].as_slice(), Ancestry::Causal));
        assert_eq!(tree.targets, [(1, 3), (1, 4)]);
    }

    #[test]
    fn contexts_may_differ() {
        let paths = [path(&[1, 2, 7, 8], 2), path(&[1, 3, 3, 7, 8], 3)];
        let tree = TokenTree::of_paths(&paths, 100, "q").unwrap();
        assert_eq!(tree.ids, [1, 2, 7, 3, 3, 7]);
        assert_eq!(tree.parents, [None, Some(0), Some(1), Some(0), Some(3), Some(4)]);
        assert_eq!(tree.choices.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    }

    #[test]
    fn long_contexts_lose_their_beginning() {
        let cut = tree(&[&[1, 2, 3, 4, 5], &[1, 2, 3, 6]], 3, 3).unwrap();
        assert_eq!((cut.ids.as_slice(), cut.truncated), ([2, 3, 4].as_slice(), 1));
        // Every answer's own length counts: the long one is named, whichever comes first.
        let message = |paths: &[&[i64]]| tree(paths, 2, 2).unwrap_err().to_string();
        let expected = "question \"7\", answer \" of 3 tokens\": 3 tokens do not fit in a context of 2 tokens. Raise the limit or remove the question";
        assert_eq!(message(&[&[1, 2, 3, 4, 5]]), expected);
        assert_eq!(message(&[&[1, 2, 3], &[1, 2, 3, 4, 5], &[1, 2, 4]]), expected);
    }

    #[test]
    fn contexts_of_their_own_are_cut_by_themselves() {
        // The second context is longer than the limit; the first choice keeps all of its own.
        let paths = [path(&[1, 9, 9], 1), path(&[1, 2, 3, 4, 5, 9, 9], 5)];
        let cut = TokenTree::of_paths(&paths, 4, "q").unwrap();
        assert_eq!((cut.ids.as_slice(), cut.truncated), ([1, 9, 3, 4, 5, 9].as_slice(), 2));
    }
}
