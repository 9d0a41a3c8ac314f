//! Device, dtype and threads, from the words of the config.

use crate::load::Placement;
use scaleot_config::RunConfig;
use scaleot_tensor::processors;

/// The device that the run computes on, and its element type.
pub fn placement(config: &RunConfig) -> Placement {
    Placement { device: config.runtime.device, dtype: config.model.dtype.into() }
}

/// Threads of the tensor engine; 0 in the config means every core.
pub fn threads(config: &RunConfig) -> usize {
    match config.runtime.threads as usize {
        0 => processors(),
        threads => threads,
    }
}
