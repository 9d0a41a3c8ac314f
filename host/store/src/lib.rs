//! Everything that touches the disk for keeps: atomic files, run folders, manifests, safetensors.
//!
//! Rules (`reliability`, sections 5.1 and 8): verify, then parse, then allocate, then map.
//! [`AtomicFile`] is the only way to make a file and [`RunDir`] the only way to make a folder visible,
//! so nothing half-written is ever seen under its own name; [`Manifest::verify`] is the only way to a [`VerifiedFolder`].

pub mod atomic_file;
pub mod byte_order_mark;
pub mod checkpoints;
pub mod digest;
pub mod disk;
pub mod dtype;
pub mod error;
pub mod escape;
pub mod exit_code;
pub mod finite;
pub mod folder;
pub mod foreign_json;
pub mod manifest;
pub mod names;
pub mod run_dir;
pub mod run_lock;
pub mod safetensors_file;
pub mod safetensors_header;
pub mod safetensors_problem;
pub mod safetensors_write;
pub mod stage_dir;
pub mod stage_pool;
pub mod step;
pub mod strict_json;
pub mod verified;

pub use atomic_file::{AtomicFile, FileRecord, write_file};
pub use byte_order_mark::{ForeignEncoding, without_mark};
pub use checkpoints::{Checkpoints, Latest};
pub use digest::{Digest, digest_file};
pub use disk::free_bytes;
pub use dtype::Dtype;
pub use error::StoreError;
pub use finite::check_finite;
pub use folder::{NewFolder, make_folder, remove_folder, write_folder};
pub use manifest::{FileEntry, Manifest, ManifestHead};
pub use names::{is_file_name, is_name_part};
pub use run_dir::{RunDir, lies_inside};
pub use safetensors_file::{TensorEntry, TensorIndex, check_safetensors};
pub use safetensors_write::{TensorSource, WriteElements, safetensors_size, write_safetensors, write_safetensors_file};
pub use stage_dir::StageDir;
pub use stage_pool::{Claim, StagePool};
pub use step::Step;
pub use verified::VerifiedFolder;
pub use verified::kind_name;
