//! Plugins at the host: discover, check, load, greet, and call; typed handles for the four kinds.
//!
//! A library's bytes are read once: hashed, checked as ELF, put into a sealed in-memory file, and that is what is loaded.
//! So what was checked is what runs, and `trust` decides on its digest before that. Every value that comes back is checked like file input.
//! This crate and `plugin-api/src/export/mod.rs` with its folder are the only places that name `abi_stable`.

mod arena;
mod compatible;
mod compressor;
mod discover;
mod elf;
mod error;
mod packaging;
pub mod isolation;
mod library;
mod libtorch_tier;
mod lock;
mod low_rank;
mod manifest;
mod option_rows;
mod module_check;
mod registered;
mod registry;
mod services;
mod strategy;
mod installed;
mod strict_toml;
mod trust;

pub use arena::Arena;
pub use compressor::{CompressedLayer, CompressorHandle};
pub use discover::{Found, Origin, PROJECT_FOLDER, SearchPath, user_folder};
pub use error::PluginFault;
pub use installed::{Standing, Surveyed};
pub use libtorch_tier::tensor_at;
pub use lock::{LOCK_FILE, LockedPlugin, PluginLock};
pub use manifest::{MANIFEST_FILE, PluginManifest};
pub use option_rows::{OptionRow, option_rows};
pub use packaging::{PackError, PackageMetadata, add, pack, remove};
pub use registered::{PluginSource, RegisteredPlugin};
pub use registry::Registry;
pub use services::{Give, NoQuestions, Questions, Services};
pub use strategy::{AdapterHandle, EstimatorHandle, ReplacerHandle, StrategyUse};
pub use trust::{Pinned, Trust};
