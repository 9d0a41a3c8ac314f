//! Side: both. Takes: model, plan, substitutes, compressed weights. Gives: the emulator bundle, and from a bundle the emulator.
//! Plugin kind: none.
//!
//! A bundle is `config.json`, `emulator.json`, `emulator.safetensors`, the tokenizer's files, `manifest.json` and what
//! `bundle.include` names: data, never code. Every file but the last is written from what the emulator is, key by key.
//! Layers are renumbered; original indices stay in the owner's ledger. No tensor is in it that the plan does not list.

mod chat_template;
mod description;
mod emulator;
mod ledger;
mod tokenizer_files;
mod write;

pub use description::{EmulatorDescription, EmulatorSlot};
pub use emulator::{Emulator, open};
pub use ledger::{LEDGER, Ledger};
pub use write::{BundleInputs, Sent, small_file_inputs, write};

use scaleot_store::ManifestHead;

/// The artefact's format.
pub const HEAD: ManifestHead = ManifestHead { format: "scaleot-bundle", version: 1 };
/// Weights of the bundle.
pub const TENSORS: &str = "emulator.safetensors";
/// Numbers of the emulator.
pub const CONFIG: &str = "config.json";
/// Slots of the bundle.
pub const DESCRIPTION: &str = "emulator.json";
