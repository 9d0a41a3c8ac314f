//! Side: model owner. Takes: model, plan, substitutes, compressed weights. Gives: the emulator bundle.
//! Plugin kind: none.
//!
//! A bundle is `config.json`, `emulator.json`, `emulator.safetensors`, the tokenizer's files, `manifest.json` and what
//! `bundle.include` names: data, never code. Every file but the last is written from what the emulator is, key by key.
//! Layers are renumbered; original indices stay in the owner's ledger. No tensor is in it that the plan does not list.

mod chat_template;
mod run;
mod tokenizer_files;
mod write;

pub use write::{BundleInputs, Sent, small_file_inputs, write};
