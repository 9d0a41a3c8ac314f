//! The emulator as the owner trains it: the full model's layers, with modules where the plan replaces layers.
//!
//! Slots keep the full model's numbers, so that an objective can match states layer by layer. What trains are copies of its own.

use crate::artefacts::{Parameter, in_slots};
use crate::error::StageError;
use crate::training::attach;
use scaleot_model::{Decoder, Slot};
use scaleot_plugin_api::{AdapterModule, AdapterPart, LayerPlan, LayerRole, Module, Substitute, Trains};
use scaleot_tensor::{Dtype, Tensor};

/// An emulator in training.
pub struct Student {
    /// Runs on the leaves.
    pub decoder: Decoder,
    /// Replaced layers whose substitutes train, with these.
    pub substitutes: Vec<(usize, Module<Tensor>)>,
    /// Kept layers that train.
    pub kept_layers: Vec<usize>,
    /// Every tensor of the kept layers that train, as `slots.<layer>.<role>.<part>`.
    pub layer_tensors: Vec<Parameter>,
}

impl Student {
    /// Cuts the emulator of a plan out of the full model, which is left as it is.
    ///
    /// # Errors
    /// A substitute that shares a layer where none stays, or memory that cannot be had.
    pub fn new(
        full: &Decoder,
        plan: &LayerPlan,
        substitutes: &[Substitute<Tensor>],
        trains: Trains,
    ) -> Result<Self, StageError> {
        let mut decoder = full.clone();
        let mut student_substitutes = Vec::new();
        let replaced = plan.layers_with(LayerRole::Replace);
        let stays = |layer: usize| plan.nearest_staying(layer).filter(|_| layer < plan.layers.len());
        for &layer in &replaced {
            let Some(substitute) = substitutes.get(layer) else { continue };
            let learns = substitute.trainable && trains != Trains::KeptLayers;
            let module = placed(substitute.module.clone(), full, learns)?;
            if learns && !module.tensors().is_empty() {
                student_substitutes.push((layer, module.clone()));
            }
            decoder.set(layer, Slot::Module(in_slots(module, &stays)?))?;
        }
        let kept_layers = if trains == Trains::Substitutes { Vec::new() } else { plan.layers_with(LayerRole::Keep) };
        let whole = AdapterModule::new(vec![AdapterPart::WholeLayer]);
        let mut layer_tensors = Vec::new();
        for &layer in &kept_layers {
            layer_tensors.append(&mut attach(&mut decoder, layer, &whole, 0)?);
        }
        Ok(Self { decoder, substitutes: student_substitutes, kept_layers, layer_tensors })
    }

    /// Everything that trains.
    pub fn leaves(&self) -> Vec<Tensor> {
        let substitutes = self.substitutes.iter().flat_map(|(_, module)| module.tensors()).cloned();
        substitutes.chain(self.layer_tensors.iter().map(|parameter| parameter.tensor.clone())).collect()
    }
}

/// The module where the model computes; what learns gets tensors of its own, in fp32, that gradients reach.
fn placed(module: Module<Tensor>, full: &Decoder, learns: bool) -> Result<Module<Tensor>, StageError> {
    module.try_map(&mut |tensor: Tensor| {
        let dtype = if learns { Dtype::F32 } else { full.dtype() };
        let tensor = tensor.to_dtype(dtype)?.to_device(full.device())?;
        if !learns {
            return Ok(tensor);
        }
        Ok(tensor.contiguous()?.deep_copy()?.set_requires_grad(true)?)
    })
}
