//! Trees of like length, end to end, in batches of at most `batch_tokens` rows.
//!
//! Longest first: the batch that needs the most memory runs first, so a run that does not fit fails at once.
//! A tree longer than `batch_tokens` gets a batch of its own.

use super::token_tree::TokenTree;
use crate::{PackedBatch, Sequence};

/// One batch of whole trees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackedTrees {
    pub batch: PackedBatch,
    /// Distinct (row of the batch, id of the token that follows it), sorted.
    pub targets: Vec<(usize, i64)>,
    pub questions: Vec<PackedQuestion>,
}

/// The place of a question's choices in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedQuestion {
    /// Index of its tree in what was packed.
    pub index: usize,
    /// Per choice: indices into the batch's targets.
    pub choices: Vec<Vec<usize>>,
}

/// Packs every tree once.
#[must_use]
pub fn pack(trees: &[TokenTree], batch_tokens: usize) -> Vec<PackedTrees> {
    let mut longest_first: Vec<(usize, &TokenTree)> = trees.iter().enumerate().collect();
    longest_first.sort_by_key(|(index, tree)| (std::cmp::Reverse(tree.len()), *index));
    let mut packed: Vec<PackedTrees> = Vec::new();
    for (index, tree) in longest_first {
        match packed.last_mut() {
            Some(last) if last.batch.ids.len() + tree.len() <= batch_tokens => last.add(index, tree),
            _ => {
                let mut next = PackedTrees::default();
                next.add(index, tree);
                packed.push(next);
            }
        }
    }
    packed
}

impl PackedTrees {
    fn add(&mut self, index: usize, tree: &TokenTree) {
        let (start, first_target) = (self.batch.ids.len(), self.targets.len());
        self.batch.ids.extend(&tree.ids);
        self.batch.positions.extend(&tree.positions);
        self.batch.sequences.push(Sequence { start, len: tree.len(), ancestry: tree.ancestry() });
        self.targets.extend(tree.targets.iter().map(|(row, id)| (start + row, *id)));
        let moved = |targets: &Vec<usize>| targets.iter().map(|target| first_target + target).collect();
        self.questions.push(PackedQuestion { index, choices: tree.choices.iter().map(moved).collect() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ancestry;
    use crate::path::Path;
    use proptest::prelude::*;

    fn questions() -> impl Strategy<Value = Vec<Vec<Path>>> {
        let answer = prop::collection::vec(0_i64..4, 1..6);
        let question = (prop::collection::vec(0_i64..9, 1..12), prop::collection::vec(answer, 1..5));
        prop::collection::vec(question, 0..20).prop_map(|questions| {
            let path = |context: &Vec<i64>, answer: Vec<i64>| Path {
                tokens: [context.clone(), answer].concat(),
                answer_start: context.len(),
                continuation: String::new(),
            };
            questions
                .into_iter()
                .map(|(context, answers)| answers.into_iter().map(|answer| path(&context, answer)).collect())
                .collect()
        })
    }

    /// The tokens from the root to `row`, inclusive.
    fn history(batch: &PackedBatch, row: usize) -> Vec<i64> {
        let sequence = batch.sequences.iter().find(|s| (s.start..s.start + s.len).contains(&row)).unwrap();
        let (mut at, mut ids) = (Some(row - sequence.start), Vec::new());
        while let Some(node) = at {
            ids.push(batch.ids[sequence.start + node]);
            at = match &sequence.ancestry {
                Ancestry::Causal => node.checked_sub(1),
                Ancestry::Tree(parents) => parents[node],
            };
        }
        ids.reverse();
        ids
    }

    proptest! {
        /// Each question stands in one batch; walking a choice's targets gives back its tokens, each predicted from all before it.
        #[test]
        fn nothing_is_lost(questions in questions(), batch_tokens in 1_usize..60) {
            let trees: Vec<TokenTree> = questions.iter().map(|paths| TokenTree::of_paths(paths, 1000, "q").unwrap()).collect();
            let packed = pack(&trees, batch_tokens);
            let mut seen = 0;
            for part in &packed {
                prop_assert!(part.batch.ids.len() <= batch_tokens || part.questions.len() == 1);
                prop_assert_eq!(part.batch.ids.len(), part.batch.positions.len());
                prop_assert!(part.targets.windows(2).all(|pair| pair[0] < pair[1]));
                for question in &part.questions {
                    seen += 1;
                    for (path, choice) in questions[question.index].iter().zip(&question.choices) {
                        prop_assert_eq!(choice.len(), path.tokens.len() - path.answer_start);
                        for (offset, target) in choice.iter().enumerate() {
                            let (row, id) = part.targets[*target];
                            let depth = path.answer_start + offset;
                            prop_assert_eq!(id, path.tokens[depth]);
                            prop_assert_eq!(history(&part.batch, row), &path.tokens[..depth]);
                            prop_assert_eq!(part.batch.positions[row] as usize, depth - 1);
                        }
                    }
                }
            }
            prop_assert_eq!(seen, questions.len());
        }
    }
}
