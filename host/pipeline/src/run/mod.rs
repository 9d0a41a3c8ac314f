//! One run: config, run folder, plugins and costs, and the two parties at work on it.
//!
//! The model owner's side has the model; the data owner's has an emulator and no way to a model. A finished stage is not run
//! again while the digest of its inputs (`inputs`) stays the same, and is taken from another run of the same stage pool
//! (`sharing`).

mod core;
mod costs;
mod data_check;
mod data_owner;
mod inputs;
mod owner;
mod placement;
mod plugins_used;
mod replace_request;
mod settings;
mod sharing;
mod upstream;

pub(crate) use core::{Party, identity};
pub use core::{RECORD, RunCore, registry};
pub use costs::{Cost, Costs, Meter, peak_bytes};
pub use data_check::{read_data, read_public_text};
pub use data_owner::DataOwnerRun;
pub use owner::{OwnerModel, OwnerRun};
pub use plugins_used::{PluginUsed, PluginsUsed};
pub(crate) use upstream::{TextOrder, TrainUpstream};
