//! Everything that touches the disk for keeps: atomic files, run folders, manifests, safetensors.
//!
//! Rules: verify, then parse, then allocate, then map.
//! [`AtomicFile`] is the only way to make a file and [`RunDir`] the only way to make a folder visible,
//! so nothing half-written is ever seen under its own name; [`Manifest::verify`] is the only way to a [`VerifiedFolder`].

#![warn(unreachable_pub)]

mod atomic_file;
mod byte_order_mark;
mod checkpoints;
mod digest;
mod disk;
mod dtype;
mod error;
pub mod escape;
pub mod exit_code;
mod file_digest;
mod finite;
mod folder;
pub mod foreign_json;
mod manifest;
mod names;
mod regular_file;
mod run_dir;
mod run_lock;
mod safetensors_file;
mod safetensors_header;
mod header_error;
mod safetensors_write;
mod stage_dir;
mod stage_pool;
mod commit_point;
mod strict_json;
mod verified;

pub use atomic_file::{AtomicFile, FileRecord, write_file};
pub use byte_order_mark::{ForeignEncoding, without_mark};
pub use checkpoints::{Checkpoints, Latest};
pub use commit_point::CommitPoint;
pub use digest::Digest;
pub use disk::free_bytes;
pub use dtype::Dtype;
pub use error::StoreError;
pub use file_digest::digest_file;
pub use finite::{FiniteScan, check_finite};
pub use folder::{NewFolder, make_folder, remove_folder, write_folder};
pub use manifest::{FileEntry, Manifest, ManifestHead};
pub use names::{is_file_name, is_name_part};
pub use regular_file::kind_name;
pub use run_dir::{RunDir, lies_inside};
pub use safetensors_file::{TensorEntry, TensorIndex, check_safetensors};
pub use safetensors_write::{TensorSource, WriteElements, write_safetensors, write_safetensors_file};
pub use stage_dir::StageDir;
pub use stage_pool::{Claim, StagePool};
pub use verified::VerifiedFolder;
