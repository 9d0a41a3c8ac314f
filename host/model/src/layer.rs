//! One decoder layer on a pack.
//!
//! Sequential: `h = x + o(attend(norm x))`, `y = h + down(mlp(norm h))`.
//! Parallel: `y = x + o(attend(norm x)) + down(mlp(norm x))`, each with its own norm.
//! Feed-forward: `act(gate x) · up x`, or `act(up x)` without a gate. All on `[tokens, hidden]`.

use super::attention::Qkv;
use super::forward_plan::ForwardPlan;
use super::norm::Norm;
use super::projection::Projection;
use super::prompt::SoftPrompt;
use super::rope::RopeTables;
use super::segments::Segment;
use scaleot_plugin_api::WeightRole;
use scaleot_tensor::{Activation, Dtype, Epilogue, Result, Tensor};

/// The weights of a layer and how they are wired.
#[derive(Clone, Debug)]
pub struct DecoderLayer {
    pub norm_attention: Norm,
    pub q: Projection,
    pub k: Projection,
    pub v: Projection,
    pub o: Projection,
    pub norm_mlp: Norm,
    pub gate: Option<Projection>,
    pub up: Projection,
    pub down: Projection,
    pub activation: Activation,
    pub parallel_residual: bool,
    pub head_dim: usize,
    /// Trained positions beside the context.
    pub prompt: Option<SoftPrompt>,
}

/// The queries of this layer: every token, or the wanted rows only.
struct Asking<'a> {
    index: Option<&'a Tensor>,
    rope: Option<&'a RopeTables>,
    segments: &'a [Segment],
}

impl DecoderLayer {
    /// The projection of a role, if the layer has it.
    pub fn projection(&self, role: WeightRole) -> Option<&Projection> {
        match role {
            WeightRole::AttentionQ => Some(&self.q),
            WeightRole::AttentionK => Some(&self.k),
            WeightRole::AttentionV => Some(&self.v),
            WeightRole::AttentionO => Some(&self.o),
            WeightRole::MlpUp => Some(&self.up),
            WeightRole::MlpGate => self.gate.as_ref(),
            WeightRole::MlpDown => Some(&self.down),
            _ => None,
        }
    }

    /// The projection of a role, to be changed.
    pub fn projection_mut(&mut self, role: WeightRole) -> Option<&mut Projection> {
        match role {
            WeightRole::AttentionQ => Some(&mut self.q),
            WeightRole::AttentionK => Some(&mut self.k),
            WeightRole::AttentionV => Some(&mut self.v),
            WeightRole::AttentionO => Some(&mut self.o),
            WeightRole::MlpUp => Some(&mut self.up),
            WeightRole::MlpGate => self.gate.as_mut(),
            WeightRole::MlpDown => Some(&mut self.down),
            _ => None,
        }
    }

    /// The norm of a role.
    pub fn norm(&self, role: WeightRole) -> Option<&Norm> {
        match role {
            WeightRole::NormAttention => Some(&self.norm_attention),
            WeightRole::NormMlp => Some(&self.norm_mlp),
            _ => None,
        }
    }

    /// The norm of a role, to be changed.
    pub fn norm_mut(&mut self, role: WeightRole) -> Option<&mut Norm> {
        match role {
            WeightRole::NormAttention => Some(&mut self.norm_attention),
            WeightRole::NormMlp => Some(&mut self.norm_mlp),
            _ => None,
        }
    }

    /// Every projection with its role, in the order of the computation.
    pub fn projections(&self) -> impl Iterator<Item = (WeightRole, &Projection)> {
        WeightRole::ALL.into_iter().filter_map(|role| Some((role, self.projection(role)?)))
    }

    /// Every tensor of the layer, whatever its form.
    pub fn tensors(&self) -> Vec<&Tensor> {
        let norms = self.norm_attention.tensors().into_iter().chain(self.norm_mlp.tensors());
        let prompt = self.prompt.iter().flat_map(SoftPrompt::tensors);
        norms.chain(self.projections().flat_map(|(_, p)| p.tensors())).chain(prompt).collect()
    }

    /// True if gradients would reach a weight of this layer.
    pub fn requires_grad(&self) -> bool {
        self.tensors().into_iter().any(Tensor::requires_grad)
    }

    /// The type that the layer computes in: fp32 where it trains or has been trained, else the model's. States are cast on their
    /// way in and out, so that a layer in training sees its weights as they are, and not rounded to where they began.
    pub fn dtype(&self) -> Dtype {
        self.norm_attention.weight.dtype()
    }

    /// Every tensor in fp32, for a layer of which some are.
    ///
    /// # Errors
    /// An operation that libtorch refuses, such as for want of memory.
    pub fn widen(&mut self) -> Result<()> {
        self.cast(Dtype::F32)
    }

    /// Every tensor of the layer itself in this type; what is attached stays as it is.
    ///
    /// # Errors
    /// An operation that libtorch refuses, such as for want of memory.
    pub fn cast(&mut self, dtype: Dtype) -> Result<()> {
        let cast = |tensor: &mut Tensor| -> Result<()> {
            *tensor = tensor.to_dtype(dtype)?;
            Ok(())
        };
        for norm in [&mut self.norm_attention, &mut self.norm_mlp] {
            cast(&mut norm.weight)?;
            norm.bias.iter_mut().try_for_each(cast)?;
        }
        for role in WeightRole::ALL {
            let Some(projection) = self.projection_mut(role) else { continue };
            projection.weight.tensors_mut().into_iter().try_for_each(cast)?;
            projection.bias.iter_mut().try_for_each(cast)?;
        }
        Ok(())
    }

    /// `[tokens, hidden] → [tokens, hidden]`; with `last`, only the wanted rows come out.
    pub(super) fn forward(&self, x: &Tensor, plan: &ForwardPlan, last: bool) -> Result<Tensor> {
        let narrow = x.dtype();
        let x = &x.to_dtype(self.dtype())?;
        let asking = match plan.wanted.as_ref().filter(|_| last) {
            Some(w) => Asking { index: Some(&w.index), rope: w.rope.as_ref(), segments: &w.segments },
            None => Asking { index: None, rope: plan.rope.as_ref(), segments: &plan.segments },
        };
        let attended = self.attention_output(x, plan, &asking)?;
        let x = &pick(x, asking.index)?;
        let h = self.o.forward_then(&attended, Epilogue::Add(x))?;
        let mlp_input = if self.parallel_residual { x } else { &h };
        let inner = self.mlp(&self.norm_mlp.forward(mlp_input)?)?;
        self.down.forward_then(&inner, Epilogue::Add(&h))?.to_dtype(narrow)
    }

    /// The input of each projection, all on `[tokens, width]`.
    pub(super) fn projection_inputs(&self, x: &Tensor, plan: &ForwardPlan) -> Result<Vec<(WeightRole, Tensor)>> {
        let asking = Asking { index: None, rope: plan.rope.as_ref(), segments: &plan.segments };
        let x = &x.to_dtype(self.dtype())?;
        let normed = self.norm_attention.forward(x)?;
        let attended = self.attention_output(x, plan, &asking)?;
        let h = self.o.forward_then(&attended, Epilogue::Add(x))?;
        let mlp_input = self.norm_mlp.forward(if self.parallel_residual { x } else { &h })?;
        let inner = self.mlp(&mlp_input)?;
        let of = |role| match role {
            WeightRole::AttentionQ | WeightRole::AttentionK | WeightRole::AttentionV => &normed,
            WeightRole::AttentionO => &attended,
            WeightRole::MlpDown => &inner,
            _ => &mlp_input,
        };
        Ok(self.projections().map(|(role, _)| (role, of(role).clone())).collect())
    }

    fn attention_output(&self, x: &Tensor, plan: &ForwardPlan, asking: &Asking<'_>) -> Result<Tensor> {
        let normed = self.norm_attention.forward(x)?;
        let (k, v) = (self.k.forward(&normed)?, self.v.forward(&normed)?);
        let q = self.q.forward(&pick(&normed, asking.index)?)?;
        let head_dim = self.head_dim as i64;
        let turn = |x: Tensor, tables: Option<&RopeTables>| -> Result<Tensor> {
            let Some(tables) = tables else { return Ok(x) };
            let (tokens, width) = (x.size(0)?, x.size(1)?);
            let heads = x.view(&[tokens, width / head_dim, head_dim])?;
            tables.rotate(&heads)?.view(&[tokens, width])
        };
        let (q, k) = (turn(q, asking.rope)?, turn(k, plan.rope.as_ref())?);
        let prompted = match &self.prompt {
            Some(prompt) => Some(prompt.attend(&q, &self.k, &self.v, head_dim)?),
            None => None,
        };
        let attended = Qkv { q, k, v, head_dim }.attend(asking.segments)?;
        prompted.map_or(Ok(attended.clone()), |prompted| attended.add(&prompted))
    }

    /// The input of `down`.
    fn mlp(&self, x: &Tensor) -> Result<Tensor> {
        let activated = Epilogue::Activation(self.activation);
        match &self.gate {
            None => self.up.forward_then(x, activated),
            Some(gate) => self.up.forward_then(x, Epilogue::Mul(&gate.forward_then(x, activated)?)),
        }
    }
}

fn pick(x: &Tensor, index: Option<&Tensor>) -> Result<Tensor> {
    index.map_or_else(|| Ok(x.clone()), |index| x.index_select(0, index))
}
