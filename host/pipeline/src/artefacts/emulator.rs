//! The emulator, the data owner's stand-in for the model. It comes from a verified bundle and from nowhere else.

use super::description::{EmulatorDescription, EmulatorSlot, tensor_name};
use super::module_tensors::with_tensors;
use super::tensor_file::TensorFile;
use crate::error::StageError;
use crate::load::{Placement, load_tokenizer};
use crate::stage::Stage;
use scaleot_data::Tokenizer;
use scaleot_model::{Decoder, DecoderLayer, ModelConfig, Norm, Positions, Projection, Slot, WeightForm};
use scaleot_plugin_api::{NormKind, Substitute, WeightRole};
use scaleot_store::{Digest, Manifest, StoreError, VerifiedFolder};
use scaleot_tensor::Tensor;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

/// Weights of the bundle.
pub const TENSORS: &str = "emulator.safetensors";
/// Numbers of the emulator.
pub const CONFIG: &str = "config.json";
/// Slots of the bundle.
pub const DESCRIPTION: &str = "emulator.json";

/// The lossy stand-in for a model, with its adapter layers.
pub struct Emulator {
    decoder: Decoder,
    description: EmulatorDescription,
    bundle: Digest,
    tokenizer: Rc<Tokenizer>,
}

impl Emulator {
    /// Verifies a bundle and makes its emulator; weights stay mapped.
    ///
    /// # Errors
    /// The fault of the bundle, naming file, key or tensor.
    pub fn open(folder: &Path, placement: Placement) -> Result<Self, StageError> {
        Self::of_verified(&Manifest::verify(folder, Stage::Bundle.head())?, placement)
    }

    /// As [`open`](Self::open), of a folder that is verified already.
    ///
    /// # Errors
    /// The same.
    pub fn of_verified(verified: &VerifiedFolder, placement: Placement) -> Result<Self, StageError> {
        read(verified, placement)
    }

    /// The model that it computes, which runs like any other.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The description of its slots.
    pub fn description(&self) -> &EmulatorDescription {
        &self.description
    }

    /// The identity of the bundle.
    pub fn bundle(&self) -> Digest {
        self.bundle
    }

    /// The tokenizer that came with it.
    pub fn tokenizer(&self) -> &Rc<Tokenizer> {
        &self.tokenizer
    }
}

fn read(verified: &VerifiedFolder, placement: Placement) -> Result<Emulator, StageError> {
    let folder = verified.path();
    let config = ModelConfig::read(folder)?;
    let path = verified.file(DESCRIPTION)?;
    let text = std::fs::read(&path).map_err(|source| StoreError::read(&path, source))?;
    let description: EmulatorDescription =
        serde_json::from_slice(&text).map_err(|error| StageError::InvalidArtefact {
            path: path.display().to_string(),
            what: "slots".into(),
            found: error.to_string(),
            expected: "the description of an emulator".into(),
        })?;
    let file = TensorFile::open(&verified.file(TENSORS)?)?;
    let mut reader = Reader { config: &config, file: &file, placement, used: BTreeSet::new() };
    let decoder = reader.decoder(&description)?;
    reader.check_nothing_left()?;
    let tokenizer = Rc::new(load_tokenizer(folder, decoder.config.vocabulary)?);
    let manifest = verified.manifest();
    Ok(Emulator { decoder, description, bundle: manifest.identity(), tokenizer })
}

struct Reader<'a> {
    config: &'a ModelConfig,
    file: &'a TensorFile,
    placement: Placement,
    used: BTreeSet<String>,
}

impl Reader<'_> {
    fn take(&mut self, name: String, shape: &[i64]) -> Result<Tensor, StageError> {
        let tensor = self.file.get(&name, shape)?;
        self.used.insert(name);
        self.placed(tensor)
    }

    fn placed(&self, tensor: Tensor) -> Result<Tensor, StageError> {
        Ok(tensor.to_dtype(self.placement.dtype)?.to_device(self.placement.device)?)
    }

    fn decoder(&mut self, description: &EmulatorDescription) -> Result<Decoder, StageError> {
        let (vocabulary, hidden) = (self.config.vocabulary as i64, self.config.hidden as i64);
        let embedding = self.take("embedding".into(), &[vocabulary, hidden])?;
        let position_embedding = match self.config.positions {
            Positions::Learned { offset } => {
                let rows = (self.config.context + offset) as i64;
                Some(self.take("position_embedding".into(), &[rows, hidden])?)
            }
            Positions::Rope(_) => None,
        };
        let mut slots = Vec::with_capacity(description.slots.len());
        for (index, slot) in description.slots.iter().enumerate() {
            slots.push(self.slot(index, slot)?);
        }
        let final_norm = self.norm("final_norm.weight".into(), "final_norm.bias".into())?;
        let head = if self.config.tied { None } else { Some(self.take("head".into(), &[vocabulary, hidden])?) };
        let (config, substitutes, shipped) = (self.config.clone(), Vec::new(), BTreeMap::new());
        let mut decoder =
            Decoder { config, embedding, position_embedding, slots, substitutes, shipped, final_norm, head };
        // An adapter layer trains; a module that shares it must not.
        decoder.keep_shared_as_shipped()?;
        Ok(decoder)
    }

    fn slot(&mut self, index: usize, slot: &EmulatorSlot) -> Result<Slot, StageError> {
        Ok(match slot {
            EmulatorSlot::Adapter { .. } => Slot::Layer(Box::new(self.layer(index, &[])?)),
            EmulatorSlot::Frozen { factored } => Slot::Layer(Box::new(self.layer(index, factored)?)),
            EmulatorSlot::Module { module } => {
                self.used.extend(module.tensors().into_iter().cloned());
                let named = Substitute::new(module.clone(), false);
                let module = with_tensors(named, Some(self.file))?.module;
                Slot::Module(module.try_map(&mut |tensor| self.placed(tensor))?)
            }
        })
    }

    fn layer(&mut self, slot: usize, factored: &[WeightRole]) -> Result<DecoderLayer, StageError> {
        let norm_name = |role, part: &str| tensor_name(slot, role, part);
        let (first, second) = (WeightRole::NormAttention, WeightRole::NormMlp);
        let norm_attention = self.norm(norm_name(first, "weight"), norm_name(first, "bias"))?;
        let norm_mlp = self.norm(norm_name(second, "weight"), norm_name(second, "bias"))?;
        let gated = self.config.family.layer.iter().any(|module| module.roles.contains(&WeightRole::MlpGate));
        let gate = if gated { Some(self.projection(slot, WeightRole::MlpGate, factored)?) } else { None };
        Ok(DecoderLayer {
            norm_attention,
            q: self.projection(slot, WeightRole::AttentionQ, factored)?,
            k: self.projection(slot, WeightRole::AttentionK, factored)?,
            v: self.projection(slot, WeightRole::AttentionV, factored)?,
            o: self.projection(slot, WeightRole::AttentionO, factored)?,
            norm_mlp,
            gate,
            up: self.projection(slot, WeightRole::MlpUp, factored)?,
            down: self.projection(slot, WeightRole::MlpDown, factored)?,
            activation: self.config.activation,
            parallel_residual: self.config.parallel_residual,
            head_dim: self.config.head_dim,
            prompt: None,
        })
    }

    fn norm(&mut self, weight: String, bias: String) -> Result<Norm, StageError> {
        let width = [self.config.hidden as i64];
        let kind = self.config.family.norm;
        let weight = self.take(weight, &width)?;
        let bias = if kind == NormKind::Layer { Some(self.take(bias, &width)?) } else { None };
        Ok(Norm { kind, weight, bias, epsilon: self.config.norm_epsilon })
    }

    fn projection(&mut self, slot: usize, role: WeightRole, factored: &[WeightRole]) -> Result<Projection, StageError> {
        let shape = self.config.shape(role);
        let (rows, cols) = (shape.first().copied().unwrap_or(0), shape.get(1).copied().unwrap_or(0));
        let weight = if factored.contains(&role) {
            let left = tensor_name(slot, role, "left");
            let rank = self.file.find(&left)?.and_then(|left| left.size(1).ok()).unwrap_or(0);
            let left = self.take(left, &[rows, rank])?;
            WeightForm::Factored { left, right: self.take(tensor_name(slot, role, "right"), &[rank, cols])? }
        } else {
            WeightForm::Dense(self.take(tensor_name(slot, role, "weight"), &shape)?)
        };
        let bias =
            if self.config.has_bias(role) { Some(self.take(tensor_name(slot, role, "bias"), &[rows])?) } else { None };
        Ok(Projection { weight, bias, delta: None, bottleneck: None })
    }

    fn check_nothing_left(&self) -> Result<(), StageError> {
        match self.file.names().find(|name| !self.used.contains(*name)) {
            None => Ok(()),
            Some(name) => Err(self.file.refuse(name, "a tensor".into(), "nothing by this name in this emulator")),
        }
    }
}
