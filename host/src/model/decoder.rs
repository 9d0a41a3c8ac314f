//! A decoder: embedding, slots, final norm, head. A slot is a layer, or a module in its place.
//!
//! Clones are shallow: weights are shared until one clone replaces a tensor of its own.
//! Beside the slots lie their substitutes; a `LayerMask` says for each slot which of the two runs.

use super::batch::PackedBatch;
use super::config::ModelConfig;
use super::error::{ModelError, Result};
use super::layer::DecoderLayer;
use super::module::{self, ModuleRunner};
use super::norm::Norm;
use super::plan::Plan;
use crate::tensor::{Device, Dtype, Tensor};
use plugin_api::LayerMask;

/// A place in the stack.
#[derive(Clone, Debug)]
pub enum Slot {
    Layer(Box<DecoderLayer>),
    Module(ModuleRunner),
}

/// A decoder-only language model.
#[derive(Clone, Debug)]
pub struct Decoder {
    pub config: ModelConfig,
    /// `[vocabulary, hidden]`.
    pub embedding: Tensor,
    /// `[context + offset, hidden]`, with learned positions only.
    pub position_embedding: Option<Tensor>,
    pub slots: Vec<Slot>,
    /// One for each slot, or none at all.
    pub substitutes: Vec<Option<ModuleRunner>>,
    pub final_norm: Norm,
    /// `[vocabulary, hidden]`; `None`: the embedding.
    pub head: Option<Tensor>,
}

impl Slot {
    /// Every tensor of the slot.
    pub fn tensors(&self) -> Vec<&Tensor> {
        match self {
            Slot::Layer(layer) => layer.tensors(),
            Slot::Module(module) => module.tensors(),
        }
    }
}

impl Decoder {
    /// The layer in a slot; an error if a module stands there.
    pub fn layer(&self, slot: usize) -> Result<&DecoderLayer> {
        match self.slots.get(slot) {
            Some(Slot::Layer(layer)) => Ok(layer),
            found => Err(not_a_layer(slot, found)),
        }
    }

    /// The layer in a slot, to be changed.
    pub fn layer_mut(&mut self, slot: usize) -> Result<&mut DecoderLayer> {
        match self.slots.get_mut(slot) {
            Some(Slot::Layer(layer)) => Ok(layer),
            found => Err(not_a_layer(slot, found.as_deref())),
        }
    }

    /// Replaces a slot.
    pub fn set(&mut self, slot: usize, with: Slot) -> Result<()> {
        let slots = self.slots.len();
        let place = self.slots.get_mut(slot).ok_or_else(|| ModelError::Slot {
            layer: slot,
            found: format!("a model of {slots} layers"),
            expected: "one of its layers",
        })?;
        *place = with;
        Ok(())
    }

    /// The weight `[vocabulary, hidden]` that turns hidden states into logits.
    pub fn head_weight(&self) -> &Tensor {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// The element type that the decoder computes in.
    pub fn dtype(&self) -> Dtype {
        self.embedding.dtype()
    }

    /// Where the decoder computes.
    pub fn device(&self) -> Device {
        self.embedding.device()
    }

    /// Runs one slot, or its substitute.
    pub(super) fn run_slot(&self, slot: usize, x: &Tensor, plan: &Plan, substituted: bool) -> Result<Tensor> {
        let last = slot + 1 == self.slots.len();
        let module = match (substituted, self.slots.get(slot)) {
            (false, Some(Slot::Layer(layer))) => return Ok(layer.forward(x, plan, last)?),
            (false, Some(Slot::Module(module))) => module,
            _ => self.substitute(slot)?,
        };
        let wanted = plan.wanted.as_ref().filter(|_| last);
        let shared = |other: usize, x: &Tensor| Ok(self.layer(other)?.forward(x, plan, false)?);
        match wanted {
            None => module::forward(module, x, &shared),
            Some(wanted) if module::is_token_wise(module) => {
                module::forward(module, &x.index_select(0, &wanted.index)?, &shared)
            }
            Some(wanted) => Ok(module::forward(module, x, &shared)?.index_select(0, &wanted.index)?),
        }
    }

    /// Runs substitutes alone on states of this batch's tokens, `[tokens, hidden] -> [tokens, hidden]`.
    pub fn substitute_runner<'a>(
        &'a self,
        batch: &PackedBatch,
    ) -> Result<impl Fn(usize, &Tensor) -> Result<Tensor> + use<'a>> {
        let rows: Vec<usize> = (0..batch.tokens()).collect();
        let plan = self.plan(batch, &rows)?;
        Ok(move |slot: usize, x: &Tensor| {
            let shared = |other: usize, x: &Tensor| Ok(self.layer(other)?.forward(x, &plan, false)?);
            module::forward(self.substitute(slot)?, x, &shared)
        })
    }

    fn substitute(&self, slot: usize) -> Result<&ModuleRunner> {
        let module = self.substitutes.get(slot).and_then(Option::as_ref);
        module.ok_or_else(|| ModelError::Slot {
            layer: slot,
            found: "no substitute".to_owned(),
            expected: "an installed substitute, as the mask asks for it",
        })
    }

    pub(super) fn check_mask(&self, mask: Option<&LayerMask>) -> Result<()> {
        match mask {
            Some(mask) if mask.original.len() != self.slots.len() => Err(ModelError::Batch {
                what: "layers in the mask".to_owned(),
                found: mask.original.len().to_string(),
                expected: self.slots.len().to_string(),
            }),
            _ => Ok(()),
        }
    }
}

fn not_a_layer(slot: usize, found: Option<&Slot>) -> ModelError {
    let found = if found.is_some() { "a module" } else { "nothing" };
    ModelError::Slot { layer: slot, found: found.to_owned(), expected: "a decoder layer" }
}
