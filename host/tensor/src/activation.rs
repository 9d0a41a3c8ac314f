//! The nonlinearities of the models that are read here.

use super::{Result, Tensor};

/// A nonlinearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Relu,
    /// `x Φ(x)`, exact.
    Gelu,
    /// `x Φ(x)`, tanh approximation.
    GeluTanh,
    Silu,
    Tanh,
}

impl Activation {
    /// Applies it to every element.
    ///
    /// # Errors
    /// Types that libtorch refuses.
    pub fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Activation::Relu => x.relu(),
            Activation::Gelu => x.gelu_erf(),
            Activation::GeluTanh => x.gelu_tanh(),
            Activation::Silu => x.silu(),
            Activation::Tanh => x.tanh(),
        }
    }
}
