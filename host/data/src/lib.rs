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

mod batch;
pub mod error;
mod fence;
pub mod jsonl;
mod long_text;
pub mod order;
pub mod pack;
pub mod pairs;
pub mod path;
pub mod question;
mod reader;
pub mod task;
pub mod task_set;
mod special_tokens;
mod template;
pub mod text;
mod text_file;
mod text_kind;
pub mod token_tree;
pub mod tokenizer;
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
pub use path::Path as TokenPath;
pub use question::{Choice, Question, Subset, overlap, subset};
pub use special_tokens::{FILE as TOKENIZER_CONFIG, SpecialTokens};
pub use task::{Metric, Split, Task};
pub use task_set::TaskSet;
pub use text::{TextOptions, TextWindows};
pub use text_file::check_text;
pub use token_tree::TokenTree;
pub use tokenizer::Tokenizer;
