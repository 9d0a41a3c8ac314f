//! A normalisation over the hidden width, `[tokens, hidden] → [tokens, hidden]`.

use scaleot_plugin_api::NormKind;
use scaleot_tensor::{Result, Tensor};

/// A norm and its scale `[hidden]`; a layer norm also has a shift.
#[derive(Clone, Debug)]
pub struct Norm {
    pub kind: NormKind,
    pub weight: Tensor,
    pub bias: Option<Tensor>,
    pub epsilon: f64,
}

impl Norm {
    /// Normalises every row.
    ///
    /// # Errors
    /// An operation that libtorch refuses, such as for want of memory.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self.kind {
            NormKind::Rms => x.rms_norm(&self.weight, self.epsilon),
            // RMS and layer norms are all that a config or a module can name.
            _ => x.layer_norm(&self.weight, self.bias.as_ref(), self.epsilon),
        }
    }

    /// Scale and shift.
    pub fn tensors(&self) -> Vec<&Tensor> {
        std::iter::once(&self.weight).chain(&self.bias).collect()
    }
}
