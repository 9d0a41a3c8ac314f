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

#![warn(unreachable_pub)]

mod batch;
mod error;
mod fence;
mod jsonl;
mod long_text;
mod order;
mod pack;
mod pairs;
mod path;
mod question;
mod reader;
mod task;
mod task_set;
mod special_tokens;
mod template;
mod text;
mod text_file;
mod text_kind;
mod token_tree;
mod tokenizer;
mod tokenizer_check;

#[cfg(test)]
mod harness_tests;
#[cfg(test)]
mod pairs_tests;
#[cfg(test)]
mod reader_tests;
#[cfg(test)]
mod tokenizer_tests;

pub use batch::{Ancestry, PackedBatch, Sequence};
pub use error::{BatchError, DataError, TokenizerError};
pub use order::{Batches, TrainingBatch};
pub use pack::{PackedTrees, pack};
pub use pairs::{PairOptions, PairSet};
pub use path::{Path as TokenPath, encode_all};
pub use question::{Choice, Question, Subset, subset};
pub use special_tokens::SpecialTokens;
pub use task::{Metric, Split, Task};
pub use task_set::TaskSet;
pub use text::{TextOptions, TextWindows};
pub use text_file::check_text;
pub use token_tree::TokenTree;
pub use tokenizer::Tokenizer;
