//! Text and multiple-choice sets: from files to packed batches of tokens.
//!
//! ```text
//! tokenizer.json ─ check ─▶ Tokenizer ────────────┐
//! tasks/*.toml ──▶ Task ── questions(jsonl) ──▶ Question ──▶ TokenTree ──▶ pack ──▶ PackedBatch   (evaluation)
//!                                                    └─────▶ PairSet ─────────────▶ TrainingBatch (tuning)
//! *.txt ──────────────────────────────────────▶ TextWindows ──────────────────────▶ TrainingBatch (both)
//! ```
//!
//! Everything read here may come from a stranger: each refusal names the file, the line or field, what was found and what was expected.

pub mod error;
mod fence;
pub mod jsonl;
pub mod order;
pub mod pack;
pub mod pairs;
pub mod question;
mod reader;
pub mod task;
mod template;
pub mod text;
pub mod token_tree;
pub mod tokenizer;
mod tokenizer_check;

#[cfg(test)]
mod pairs_tests;
#[cfg(test)]
mod reader_tests;
#[cfg(test)]
pub(crate) mod tokenizer_tests;

pub use error::{DataError, TokenizerError};
pub use order::{Batches, TrainingBatch};
pub use pack::{PackedTrees, pack};
pub use pairs::{PairOptions, PairSet};
pub use question::{Choice, Question, Subset, overlap, subset};
pub use task::{Metric, Split, Task, TaskSet};
pub use text::{TextOptions, TextWindows};
pub use token_tree::{Path as TokenPath, TokenTree};
pub use tokenizer::{TOKENIZER_CONFIG, Tokenizer};
