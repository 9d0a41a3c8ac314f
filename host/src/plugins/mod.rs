//! Plugins at the host: discover, check, load, greet, and call; typed handles for the four kinds.
//!
//! A library's bytes are read once: hashed, checked as ELF, put into a sealed in-memory file, and that is what is loaded.
//! So what was checked is what runs. Every value that comes back is checked like file input.
//! This folder and `plugin-api/src/export.rs` are the only places that name `abi_stable` or `libloading`.

mod arena;
mod compressor;
mod discover;
mod elf;
mod error;
mod library;
mod low_rank;
mod module_check;
mod registry;
mod services;
mod strategy;

pub use arena::Arena;
pub use compressor::{CompressedLayer, CompressorHandle};
pub use discover::SearchPath;
pub use error::PluginFault;
pub use registry::{PluginSource, RegisteredPlugin, Registry};
pub use services::{Give, NoQuestions, Questions, Services};
pub use strategy::{AdapterHandle, EstimatorHandle, ReplacerHandle, StrategyName, StrategyUse};
