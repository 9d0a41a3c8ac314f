//! Trained tensors by name.

use scaleot_tensor::Tensor;

/// A tensor that trains, by its name in the return.
pub struct Parameter {
    /// `slots.N.<role>.<part>`.
    pub name: String,
    /// The leaf; the decoder runs on the same memory.
    pub tensor: Tensor,
    /// Its value as shipped; `None` for a new tensor, which is returned whole.
    pub shipped: Option<Tensor>,
}
