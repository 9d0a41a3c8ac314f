//! One linear map of a layer: `y = x Wᵀ + b`, with `W` whole or in two factors, and what may be
//! added to it: a low-rank delta `scale · (x Aᵀ) Bᵀ`, a bottleneck on its output.
//!
//! Shapes: `W` `[out, in]`; `W = left · right` with `left` `[out, r]`, `right` `[r, in]`;
//! `A` `[r, in]`, `B` `[out, r]`; bottleneck `y + up act(down y)`, `down` `[s, out]`, `up` `[out, s]`.
//! An addition stays in fp32, so that small steps are not lost, and is cast to the element type of `x` where that is narrower.

use scaleot_tensor::{Activation, Dtype, Epilogue, Result, Tensor, WeightForm};

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

    /// `[tokens, in] → [tokens, out]`.
    ///
    /// # Errors
    /// An operation that libtorch refuses, such as for want of memory.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_then(x, Epilogue::None)
    }

    /// `forward` and a last step, which is part of the product unless something comes between.
    ///
    /// # Errors
    /// An operation that libtorch refuses, such as for want of memory.
    pub(crate) fn forward_then(&self, x: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
        let bias = self.bias.as_ref();
        let attached = self.delta.is_some() || self.bottleneck.is_some();
        let inner = if attached { Epilogue::None } else { epilogue };
        let mut y = match &self.weight {
            WeightForm::Dense(weight) => x.linear_then(weight, bias, inner)?,
            WeightForm::Factored { left, right } => x.linear(right, None)?.linear_then(left, bias, inner)?,
        };
        if let Some(delta) = &self.delta {
            let low = x.linear(&delta.a.to_dtype(x.dtype())?, None)?.mul_scalar(delta.scale)?;
            y = low.linear_then(&delta.b.to_dtype(x.dtype())?, None, Epilogue::Add(&y))?;
        }
        if let Some(bottleneck) = &self.bottleneck {
            y = bottleneck.forward(&y)?;
        }
        if attached { epilogue.apply(y) } else { Ok(y) }
    }

    /// The same map as a plain one: factors multiplied out, the delta added in, which makes it fp32: whoever writes it rounds once.
    ///
    /// # Errors
    /// An operation that libtorch refuses, such as for want of memory.
    pub fn merged(&self) -> Result<Tensor> {
        let weight = self.weight.dense()?;
        match &self.delta {
            Some(delta) => {
                let product = delta.b.to_dtype(Dtype::F32)?.matmul(&delta.a.to_dtype(Dtype::F32)?)?;
                weight.to_dtype(Dtype::F32)?.add(&product.mul_scalar(delta.scale)?)
            }
            None => Ok(weight),
        }
    }
}

impl Bottleneck {
    fn forward(&self, y: &Tensor) -> Result<Tensor> {
        let inner = y.linear_then(&self.down.to_dtype(y.dtype())?, None, Epilogue::Activation(self.activation))?;
        inner.linear_then(&self.up.to_dtype(y.dtype())?, None, Epilogue::Add(y))
    }
}
