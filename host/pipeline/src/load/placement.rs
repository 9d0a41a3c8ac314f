//! Device and element type of a computation.

use scaleot_tensor::{Device, Dtype};

/// The device that a model computes on, and its element type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The device.
    pub device: Device,
    /// The element type.
    pub dtype: Dtype,
}
