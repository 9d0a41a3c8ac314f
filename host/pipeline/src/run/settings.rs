//! Device, dtype and threads, from the words of the config.

use crate::error::StageError;
use crate::load::Placement;
use scaleot_config::{Precision, RunConfig};
use scaleot_tensor::{Device, Dtype};
use std::num::NonZeroUsize;

/// The device that the run computes on, and its element type.
pub fn placement(config: &RunConfig) -> Result<Placement, StageError> {
    let device: Device = config.runtime.device.to_string().parse()?;
    let dtype = match config.model.dtype {
        Precision::Fp32 => Dtype::F32,
        Precision::Bf16 => Dtype::BF16,
        Precision::Fp16 => Dtype::F16,
    };
    Ok(Placement { device, dtype })
}

/// Threads of the tensor engine; 0 in the config means every core.
pub fn threads(config: &RunConfig) -> usize {
    match config.runtime.threads as usize {
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        threads => threads,
    }
}
