//! Side: both. Takes: model, plan, substitutes, compressed weights. Gives: the emulator bundle, and from a bundle the emulator.
//! Plugin kind: none.
//!
//! A bundle is `config.json`, `emulator.json`, `emulator.safetensors`, `tokenizer.json` and `manifest.json`: data, never code;
//! and `tokenizer_config.json` with the names of BOS and EOS, where the others do not say what a text begins with.
//! Layers are renumbered; original indices stay in the owner's ledger. No tensor is in it that the plan does not list.

mod description;
mod emulator;
mod ledger;
mod write;

pub use description::{EmulatorDescription, EmulatorSlot};
pub use emulator::{Emulator, open};
pub use ledger::{LEDGER, Ledger};
pub use write::{BundleInputs, write};

use crate::store::ManifestHead;

/// The artefact's format.
pub const HEAD: ManifestHead = ManifestHead { format: "scaleot-bundle", version: 1 };
/// Weights of the bundle.
pub const TENSORS: &str = "emulator.safetensors";
/// Slots of the bundle.
pub const DESCRIPTION: &str = "emulator.json";
