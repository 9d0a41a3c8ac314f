//! A decoder: embedding, slots, final norm, head. A slot is a layer, or a module in its place.
//!
//! Clones are shallow: weights are shared until one clone replaces a tensor of its own.
//! Beside the slots lie their substitutes; a `LayerMask` says for each slot which of the two runs.

use super::config::ModelConfig;
use super::error::{ModelError, Result};
use super::forward_plan::ForwardPlan;
use super::layer::DecoderLayer;
use super::module::{self, ModuleRunner};
use super::norm::Norm;
use scaleot_data::PackedBatch;
use scaleot_plugin_api::{LayerMask, WeightRole};
use scaleot_tensor::{Device, Dtype, Tensor};
use std::collections::BTreeMap;

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
    /// Slots that modules share and that train: as they were shipped, so that a share stays frozen.
    pub shipped: BTreeMap<usize, Box<DecoderLayer>>,
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
    ///
    /// # Errors
    /// A slot that is not there, or that holds a module.
    pub fn layer(&self, slot: usize) -> Result<&DecoderLayer> {
        match self.slots.get(slot) {
            Some(Slot::Layer(layer)) => Ok(layer),
            found => Err(not_a_layer(slot, found)),
        }
    }

    /// The layer in a slot, to be changed.
    ///
    /// # Errors
    /// A slot that is not there, or that holds a module.
    pub fn layer_mut(&mut self, slot: usize) -> Result<&mut DecoderLayer> {
        match self.slots.get_mut(slot) {
            Some(Slot::Layer(layer)) => Ok(layer),
            found => Err(not_a_layer(slot, found.as_deref())),
        }
    }

    /// Replaces a slot.
    ///
    /// # Errors
    /// A slot that is not there.
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
    pub(crate) fn head_weight(&self) -> &Tensor {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// The element type that the decoder computes in.
    pub fn dtype(&self) -> Dtype {
        self.embedding.dtype()
    }

    /// The device on which the decoder computes.
    pub fn device(&self) -> Device {
        self.embedding.device()
    }

    /// Keeps the slots that modules share as they are now, whatever becomes of them: the weights are not copied.
    ///
    /// # Errors
    /// A shared slot that is not there.
    pub fn keep_shared_as_shipped(&mut self) -> Result<()> {
        let modules = self.slots.iter().filter_map(|slot| match slot {
            Slot::Module(module) => Some(module),
            Slot::Layer(_) => None,
        });
        let shared: Vec<usize> = modules.flat_map(module::shared_layers).collect();
        for slot in shared {
            let layer = self.layer(slot)?.clone();
            self.shipped.insert(slot, Box::new(layer));
        }
        Ok(())
    }

    /// The layers that a slot shares while its substitute runs under a mask; `None` where the slot itself runs.
    pub(super) fn replacements(&self, slot: usize, mask: Option<&LayerMask>) -> Option<Vec<usize>> {
        let mask = mask.filter(|mask| mask.original.get(slot) == Some(&false))?;
        let module = self.substitutes.get(slot).and_then(Option::as_ref);
        let shared = module.map(module::shared_layers).unwrap_or_default();
        Some(shared.into_iter().map(|layer| share_of(layer, Some(mask))).collect())
    }

    fn run_shared(&self, slot: usize, x: &Tensor, plan: &ForwardPlan) -> Result<Tensor> {
        match self.shipped.get(&slot) {
            Some(layer) => Ok(layer.forward(x, plan, false)?),
            None => Ok(self.layer(slot)?.forward(x, plan, false)?),
        }
    }

    /// Runs one slot, or its substitute where the mask says so.
    pub(super) fn run_slot(
        &self,
        slot: usize,
        x: &Tensor,
        plan: &ForwardPlan,
        mask: Option<&LayerMask>,
    ) -> Result<Tensor> {
        let last = slot + 1 == self.slots.len();
        let substituted = mask.is_some_and(|mask| mask.original.get(slot) == Some(&false));
        let module = match (substituted, self.slots.get(slot)) {
            (false, Some(Slot::Layer(layer))) => return Ok(layer.forward(x, plan, last)?),
            (false, Some(Slot::Module(module))) => module,
            _ => self.substitute(slot)?,
        };
        let wanted = plan.wanted.as_ref().filter(|_| last);
        let mask = mask.filter(|_| substituted);
        let shared = |other: usize, x: &Tensor| self.run_shared(share_of(other, mask), x, plan);
        match wanted {
            None => module::forward(module, x, &shared),
            Some(wanted) if module::is_token_wise(module) => {
                module::forward(module, &x.index_select(0, &wanted.index)?, &shared)
            }
            Some(wanted) => Ok(module::forward(module, x, &shared)?.index_select(0, &wanted.index)?),
        }
    }

    /// Runs substitutes alone on states of this batch's tokens, `[tokens, hidden] -> [tokens, hidden]`.
    ///
    /// # Errors
    /// A batch that the model cannot run, or an operation that libtorch refuses.
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

    /// Runs any layers on states of this batch's tokens, `[tokens, hidden] -> [tokens, hidden]`.
    ///
    /// # Errors
    /// A batch that the model cannot run, or an operation that libtorch refuses.
    pub fn layer_runner(
        &self,
        batch: &PackedBatch,
    ) -> Result<impl Fn(&DecoderLayer, &Tensor) -> Result<Tensor> + use<>> {
        let rows: Vec<usize> = (0..batch.tokens()).collect();
        let plan = self.plan(batch, &rows)?;
        Ok(move |layer: &DecoderLayer, x: &Tensor| Ok(layer.forward(x, &plan, false)?))
    }

    /// The input of each projection of a layer whose input is `x`, `[tokens, hidden]`.
    ///
    /// # Errors
    /// A batch that the model cannot run, or an operation that libtorch refuses.
    pub fn projection_inputs(&self, slot: usize, x: &Tensor, batch: &PackedBatch) -> Result<Vec<(WeightRole, Tensor)>> {
        let rows: Vec<usize> = (0..batch.tokens()).collect();
        Ok(self.layer(slot)?.projection_inputs(x, &self.plan(batch, &rows)?)?)
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

/// A layer that the mask replaces too is shared from the nearest one that runs.
fn share_of(layer: usize, mask: Option<&LayerMask>) -> usize {
    mask.and_then(|mask| mask.nearest_original(layer)).unwrap_or(layer)
}

fn not_a_layer(slot: usize, found: Option<&Slot>) -> ModelError {
    let found = if found.is_some() { "a module" } else { "nothing" };
    ModelError::Slot { layer: slot, found: found.to_owned(), expected: "a decoder layer" }
}
