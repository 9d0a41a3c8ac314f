//! Module descriptions: what stands in for a layer, as a small tree of known primitives with its tensors.
//!
//! The host runs the tree, so an emulator bundle needs no foreign code. A harmonizer (ScaleOT, 3.3) is
//! `Residual(Sequential(Linear d->r, Activation(relu), Linear r->d))`; LayerDrop is `Identity`; CRaSh sharing is `SharedWith`.
//! Every module maps `[tokens, hidden]` to `[tokens, hidden]`, token by token (`SharedWith` runs a whole layer).

use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// A nonlinearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Activation {
    /// `max(0, x)`.
    Relu,
    /// `x Phi(x)`, the exact form.
    Gelu,
    /// `x sigmoid(x)`.
    Silu,
    /// `tanh(x)`.
    Tanh,
}

/// A normalisation over the last dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NormKind {
    /// `x / sqrt(mean(x^2) + eps) * weight`.
    Rms,
    /// `(x - mean) / sqrt(var + eps) * weight + bias`.
    Layer,
}

/// A primitive, or a composition of primitives. `T` is [`Tensor`] for an author.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Module<T = Tensor> {
    /// `y = x`. As a layer's substitute this is LayerDrop, and costs nothing.
    Identity,
    /// `y = x W^T + b`, `W: [outputs, inputs]`, `b: [outputs]`.
    Linear {
        /// `[outputs, inputs]`.
        weight: T,
        /// `[outputs]`.
        #[serde(default = "none")]
        bias: Option<T>,
    },
    /// A nonlinearity, value by value.
    Activation {
        /// The nonlinearity.
        function: Activation,
    },
    /// A normalisation over the last dimension.
    Norm {
        /// The kind of norm.
        function: NormKind,
        /// `[width]`.
        weight: T,
        /// `[width]`; only with [`NormKind::Layer`].
        #[serde(default = "none")]
        bias: Option<T>,
        /// Added under the root.
        epsilon: f64,
    },
    /// One after the other.
    Sequential {
        /// In order of computation; empty means identity.
        modules: Vec<Module<T>>,
    },
    /// `y = x + f(x)`.
    Residual {
        /// `f`.
        module: Box<Module<T>>,
    },
    /// Runs a layer of the full model, frozen as it was shipped; costs no weights in the bundle (CRaSh).
    ///
    /// If that layer is replaced too, the nearest one that stays runs, the deeper of two
    /// ([`LayerPlan::nearest_staying`](crate::LayerPlan::nearest_staying)); so a substitute that shares its own layer is CRaSh's rule.
    SharedWith {
        /// Index in the full model.
        layer: usize,
    },
}

fn none<T>() -> Option<T> {
    None
}

impl<T> Module<T> {
    /// The harmonizer of ScaleOT (3.3): `x + up relu(down x + down_bias) + up_bias`.
    ///
    /// Shapes: `down [r, d]`, `down_bias [r]`, `up [d, r]`, `up_bias [d]`.
    pub fn harmonizer(down: T, down_bias: T, up: T, up_bias: T) -> Self {
        Module::Residual {
            module: Box::new(Module::Sequential {
                modules: vec![
                    Module::Linear { weight: down, bias: Some(down_bias) },
                    Module::Activation { function: Activation::Relu },
                    Module::Linear { weight: up, bias: Some(up_bias) },
                ],
            }),
        }
    }

    /// The same tree with every tensor put through `f`, in depth-first order.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn try_map<U, E>(self, f: &mut dyn FnMut(T) -> Result<U, E>) -> Result<Module<U>, E> {
        Ok(match self {
            Module::Identity => Module::Identity,
            Module::Linear { weight, bias } => {
                Module::Linear { weight: f(weight)?, bias: bias.map(&mut *f).transpose()? }
            }
            Module::Activation { function } => Module::Activation { function },
            Module::Norm { function, weight, bias, epsilon } => {
                Module::Norm { function, weight: f(weight)?, bias: bias.map(&mut *f).transpose()?, epsilon }
            }
            Module::Sequential { modules } => Module::Sequential {
                modules: modules.into_iter().map(|module| module.try_map(f)).collect::<Result<_, E>>()?,
            },
            Module::Residual { module } => Module::Residual { module: Box::new((*module).try_map(f)?) },
            Module::SharedWith { layer } => Module::SharedWith { layer },
        })
    }

    /// Every tensor of the tree, in depth-first order.
    #[must_use]
    pub fn tensors(&self) -> Vec<&T> {
        match self {
            Module::Identity | Module::Activation { .. } | Module::SharedWith { .. } => Vec::new(),
            Module::Linear { weight, bias } | Module::Norm { weight, bias, .. } => {
                std::iter::once(weight).chain(bias).collect()
            }
            Module::Sequential { modules } => modules.iter().flat_map(Module::tensors).collect(),
            Module::Residual { module } => module.tensors(),
        }
    }
}

/// The stand-in for one layer, trainable or frozen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Substitute<T = Tensor> {
    /// The tree that runs instead of the layer.
    pub module: Module<T>,
    /// True where its tensors are trained by the model owner (never by the data owner).
    pub trainable: bool,
}

impl<T> Substitute<T> {
    /// A substitute that trains, or not.
    #[must_use]
    pub fn new(module: Module<T>, trainable: bool) -> Self {
        Self { module, trainable }
    }
}

impl<T> Substitute<T> {
    /// A substitute whose tensors the owner's training steps may change.
    pub fn trainable(module: Module<T>) -> Self {
        Self { module, trainable: true }
    }

    /// A substitute that stays as it is.
    pub fn frozen(module: Module<T>) -> Self {
        Self { module, trainable: false }
    }
}
