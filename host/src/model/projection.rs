//! One linear map of a layer: `y = x Wᵀ + b`, with `W` whole or in two factors, and what may be
//! added to it: a low-rank delta `scale · (x Aᵀ) Bᵀ`, a bottleneck on its output.
//!
//! Shapes: `W` `[out, in]`; `W = left · right` with `left` `[out, r]`, `right` `[r, in]`;
//! `A` `[r, in]`, `B` `[out, r]`; bottleneck `y + up act(down y)`, `down` `[s, out]`, `up` `[out, s]`.

use super::config::Activation;
use crate::tensor::{Result, Tensor};

/// The weight of a projection.
#[derive(Clone, Debug)]
pub enum WeightForm {
    /// `[out, in]`.
    Dense(Tensor),
    /// `left · right`.
    Factored { left: Tensor, right: Tensor },
}

/// An addition of low rank (LoRA): `scale · B A`.
#[derive(Clone, Debug)]
pub struct LowRankDelta {
    pub a: Tensor,
    pub b: Tensor,
    pub scale: f64,
}

/// A small network on the output of a projection (Houlsby's adapter).
#[derive(Clone, Debug)]
pub struct Bottleneck {
    pub down: Tensor,
    pub up: Tensor,
    pub activation: Activation,
}

/// A linear map with what is attached to it.
#[derive(Clone, Debug)]
pub struct Projection {
    pub weight: WeightForm,
    pub bias: Option<Tensor>,
    pub delta: Option<LowRankDelta>,
    pub bottleneck: Option<Bottleneck>,
}

impl WeightForm {
    /// The whole matrix, multiplied out if it is in factors.
    pub fn dense(&self) -> Result<Tensor> {
        match self {
            WeightForm::Dense(weight) => Ok(weight.clone()),
            WeightForm::Factored { left, right } => left.matmul(right),
        }
    }

    fn tensors(&self) -> Vec<&Tensor> {
        match self {
            WeightForm::Dense(weight) => vec![weight],
            WeightForm::Factored { left, right } => vec![left, right],
        }
    }
}

impl Projection {
    /// A plain map.
    pub fn dense(weight: Tensor, bias: Option<Tensor>) -> Self {
        Projection { weight: WeightForm::Dense(weight), bias, delta: None, bottleneck: None }
    }

    /// Every tensor that the map uses.
    pub fn tensors(&self) -> Vec<&Tensor> {
        let mut tensors = self.weight.tensors();
        tensors.extend(&self.bias);
        if let Some(delta) = &self.delta {
            tensors.extend([&delta.a, &delta.b]);
        }
        if let Some(bottleneck) = &self.bottleneck {
            tensors.extend([&bottleneck.down, &bottleneck.up]);
        }
        tensors
    }

    /// Whether it is nothing but a dense weight and a bias.
    pub fn is_plain(&self) -> bool {
        matches!(self.weight, WeightForm::Dense(_)) && self.delta.is_none() && self.bottleneck.is_none()
    }

    /// `[tokens, in] → [tokens, out]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut y = match &self.weight {
            WeightForm::Dense(weight) => x.linear(weight, self.bias.as_ref())?,
            WeightForm::Factored { left, right } => x.linear(right, None)?.linear(left, self.bias.as_ref())?,
        };
        if let Some(delta) = &self.delta {
            let low = x.linear(&delta.a, None)?.mul_scalar(delta.scale)?;
            y = y.add(&low.linear(&delta.b, None)?)?;
        }
        match &self.bottleneck {
            Some(bottleneck) => bottleneck.forward(&y),
            None => Ok(y),
        }
    }

    /// `residual + forward(x)`. With `in_place` the residual's memory is used up for the sum.
    pub fn add_to(&self, mut residual: Tensor, x: &Tensor, in_place: bool) -> Result<Tensor> {
        if !in_place || !self.is_plain() || self.bias.is_some() {
            return residual.add(&self.forward(x)?);
        }
        if let WeightForm::Dense(weight) = &self.weight {
            residual.add_linear_(x, weight)?;
        }
        Ok(residual)
    }

    /// The same map as a plain one: factors multiplied out, the delta added in.
    pub fn merged(&self) -> Result<Tensor> {
        let weight = self.weight.dense()?;
        match &self.delta {
            Some(delta) => weight.add(&delta.b.matmul(&delta.a)?.mul_scalar(delta.scale)?),
            None => Ok(weight),
        }
    }
}

impl Bottleneck {
    fn forward(&self, y: &Tensor) -> Result<Tensor> {
        let inner = self.activation.apply(&y.linear(&self.down, None)?)?;
        y.add(&inner.linear(&self.up, None)?)
    }
}
