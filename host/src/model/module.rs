//! What may stand in a layer's place: a small tree of known primitives, run on `[tokens, hidden]`.
//!
//! A harmonizer is `Residual(Sequential(Linear, Activation, Linear))`, a dropped layer `Identity`,
//! a shared one `SharedWith`. All but `SharedWith` work token by token.

use super::config::Activation;
use super::norm::Norm;
use crate::tensor::{Result, Tensor};

/// A module and its tensors.
#[derive(Clone, Debug)]
pub enum ModuleRunner {
    /// `y = x`.
    Identity,
    /// `y = x Wᵀ + b`, `weight` `[out, in]`.
    Linear { weight: Tensor, bias: Option<Tensor> },
    /// Elementwise.
    Activation(Activation),
    /// Over the last dimension.
    Norm(Norm),
    /// One after another.
    Sequential(Vec<ModuleRunner>),
    /// `y = x + f(x)`.
    Residual(Box<ModuleRunner>),
    /// The layer of that slot, frozen.
    SharedWith(usize),
}

/// Runs the layer of a slot for `SharedWith`.
pub(super) type RunSlot<'a> = &'a dyn Fn(usize, Tensor) -> super::error::Result<Tensor>;

impl ModuleRunner {
    /// The harmonizer of ScaleOT: `x + up · act(down · x)`.
    pub fn bottleneck(down: Linear, activation: Activation, up: Linear) -> Self {
        let linear = |l: Linear| ModuleRunner::Linear { weight: l.weight, bias: l.bias };
        ModuleRunner::Residual(Box::new(ModuleRunner::Sequential(vec![
            linear(down),
            ModuleRunner::Activation(activation),
            linear(up),
        ])))
    }

    /// Every tensor, in the order of the computation.
    pub fn tensors(&self) -> Vec<&Tensor> {
        match self {
            ModuleRunner::Identity | ModuleRunner::Activation(_) | ModuleRunner::SharedWith(_) => {
                Vec::new()
            }
            ModuleRunner::Linear { weight, bias } => std::iter::once(weight).chain(bias).collect(),
            ModuleRunner::Norm(norm) => norm.tensors(),
            ModuleRunner::Sequential(parts) => parts.iter().flat_map(|p| p.tensors()).collect(),
            ModuleRunner::Residual(inner) => inner.tensors(),
        }
    }

    /// Whether every token is computed by itself.
    pub fn is_token_wise(&self) -> bool {
        match self {
            ModuleRunner::SharedWith(_) => false,
            ModuleRunner::Sequential(parts) => parts.iter().all(ModuleRunner::is_token_wise),
            ModuleRunner::Residual(inner) => inner.is_token_wise(),
            _ => true,
        }
    }

    pub(super) fn forward(
        &self,
        x: &Tensor,
        run_slot: RunSlot<'_>,
    ) -> super::error::Result<Tensor> {
        match self {
            ModuleRunner::Identity => Ok(x.clone()),
            ModuleRunner::Linear { weight, bias } => Ok(x.linear(weight, bias.as_ref())?),
            ModuleRunner::Activation(activation) => Ok(activation.apply(x)?),
            ModuleRunner::Norm(norm) => Ok(norm.forward(x)?),
            ModuleRunner::Sequential(parts) => {
                parts.iter().try_fold(x.clone(), |x, part| part.forward(&x, run_slot))
            }
            ModuleRunner::Residual(inner) => Ok(x.add(&inner.forward(x, run_slot)?)?),
            // The layer may use up what it is given, and we were only lent `x`.
            ModuleRunner::SharedWith(slot) => run_slot(*slot, x.add_scalar(0.0)?),
        }
    }
}

/// A weight `[out, in]` and its bias.
#[derive(Clone, Debug)]
pub struct Linear {
    pub weight: Tensor,
    pub bias: Option<Tensor>,
}

impl Linear {
    /// A map with a bias.
    pub fn new(weight: Tensor, bias: Tensor) -> Result<Self> {
        weight.size(1)?;
        Ok(Linear { weight, bias: Some(bias) })
    }
}
