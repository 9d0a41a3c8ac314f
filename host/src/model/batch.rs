//! A batch of token sequences laid end to end, without padding.
//!
//! `ids` and `positions` are `(tokens)`; sequence `s` covers rows `start..start + len`.
//! A token attends to itself and to its ancestors: all earlier tokens of its sequence (`Causal`), or the chain of its parents (`Tree`).

/// Token rows of several sequences, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackedBatch {
    pub ids: Vec<i64>,
    pub positions: Vec<i64>,
    pub sequences: Vec<Sequence>,
}

/// One sequence of a packed batch: its rows, and who attends to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    pub start: usize,
    pub len: usize,
    pub ancestry: Ancestry,
}

/// Parent indices are relative to the sequence's start; a parent always comes before its child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ancestry {
    Causal,
    Tree(Vec<Option<usize>>),
}
