//! The host's answers to the plugins of the model owner.

mod checkpoint;
mod layer_weights;
mod owner;

pub use checkpoint::{EstimatorCheckpoints, IMPORTANCE_CHECKPOINT, Phase};
pub use layer_weights::layer_weights;
pub use owner::{OwnerServices, OwnerSources};
