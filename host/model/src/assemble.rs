//! A folder's tensors → a decoder: split what is fused, check that nothing is missing or left over.

use super::config::ModelConfig;
use super::decoder::{Decoder, Slot};
use super::error::{ModelError, Result};
use super::family::{Fused, LayerModule};
use super::layer::DecoderLayer;
use super::leftovers::{is_buffer, is_quantised};
use super::names::Names;
use super::norm::Norm;
use super::projection::Projection;
use super::weights::Weights;
use scaleot_plugin_api::WeightRole;
use scaleot_tensor::{Device, Dtype, Tensor};
use std::collections::{BTreeMap, BTreeSet};

/// A weight and its bias, in the orientation of the program.
type Part = (Tensor, Option<Tensor>);

struct Assembly<'a> {
    config: &'a ModelConfig,
    weights: &'a Weights,
    names: Names,
    dtype: Dtype,
    device: Device,
    used: BTreeSet<String>,
}

/// Builds the decoder of a folder.
pub(super) fn decoder(config: ModelConfig, weights: &Weights, dtype: Dtype, device: Device) -> Result<Decoder> {
    check_not_quantised(weights)?;
    let names = Names::in_files(weights, config.family);
    let mut assembly = Assembly { config: &config, weights, names, dtype, device, used: BTreeSet::new() };
    let embedding = assembly.vocabulary(assembly.names.embedding())?;
    let position_embedding = assembly.position_table()?;
    let mut slots = Vec::with_capacity(config.layers);
    for layer in 0..config.layers {
        slots.push(Slot::Layer(Box::new(assembly.layer(layer)?)));
    }
    let final_norm = assembly.final_norm()?;
    let head = assembly.head()?;
    assembly.check_nothing_left()?;
    let (substitutes, shipped) = (Vec::new(), BTreeMap::new());
    Ok(Decoder { config, embedding, position_embedding, slots, substitutes, shipped, final_norm, head })
}

impl Assembly<'_> {
    fn take(&mut self, name: String, shape: &[i64]) -> Result<Tensor> {
        let tensor = self.weights.get(&name, shape, self.dtype, self.device)?;
        self.used.insert(name);
        Ok(tensor)
    }

    /// A table with a row for every token; a wrong number of rows is a matter of two files.
    fn vocabulary(&mut self, name: String) -> Result<Tensor> {
        let (vocabulary, hidden) = (self.config.vocabulary, self.config.hidden as i64);
        if let Some([rows, width]) = self.weights.shape(&name).as_deref().and_then(|s| <[i64; 2]>::try_from(s).ok())
            && width == hidden
            && rows != vocabulary as i64
        {
            return Err(ModelError::VocabularyRows {
                path: self.weights.file_of(&name).to_owned(),
                tensor: name,
                rows,
                key: self.config.key("vocabulary"),
                vocabulary,
            });
        }
        self.take(name, &[vocabulary as i64, hidden])
    }

    fn position_table(&mut self) -> Result<Option<Tensor>> {
        let Some(name) = self.names.positions() else { return Ok(None) };
        let rows = self.config.context + self.config.family.position_offset;
        self.take(name, &[rows as i64, self.config.hidden as i64]).map(Some)
    }

    fn layer(&mut self, layer: usize) -> Result<DecoderLayer> {
        let mut parts: BTreeMap<WeightRole, Part> = BTreeMap::new();
        for module in &self.config.family.layer {
            parts.extend(self.module(layer, module)?);
        }
        let mut norm = |role| part(&mut parts, layer, role).map(|(weight, bias)| self.norm(weight, bias));
        let (norm_attention, norm_mlp) = (norm(WeightRole::NormAttention)?, norm(WeightRole::NormMlp)?);
        let gate = parts.remove(&WeightRole::MlpGate).map(|(w, b)| Projection::dense(w, b));
        let mut dense = |role| part(&mut parts, layer, role).map(|(w, b)| Projection::dense(w, b));
        Ok(DecoderLayer {
            norm_attention,
            q: dense(WeightRole::AttentionQ)?,
            k: dense(WeightRole::AttentionK)?,
            v: dense(WeightRole::AttentionV)?,
            o: dense(WeightRole::AttentionO)?,
            norm_mlp,
            gate,
            up: dense(WeightRole::MlpUp)?,
            down: dense(WeightRole::MlpDown)?,
            activation: self.config.activation,
            parallel_residual: self.config.parallel_residual,
            head_dim: self.config.head_dim,
            prompt: None,
        })
    }

    fn module(&mut self, layer: usize, module: &LayerModule) -> Result<Vec<(WeightRole, Part)>> {
        let name = self.names.module(layer, &module.module);
        let shape = module.weight_shape(self.config);
        let mut weight = self.take(format!("{name}.weight"), &shape)?;
        if module.transposed {
            weight = weight.transpose(0, 1)?;
        }
        let weights = self.split(&weight, module)?;
        let mut biases = vec![None; weights.len()];
        if module.has_bias(self.config) {
            let rows = weight.size(0)?;
            let bias = self.take(format!("{name}.bias"), &[rows])?;
            biases = self.split(&bias, module)?.into_iter().map(Some).collect();
        }
        let parts = weights.into_iter().zip(biases);
        Ok(module.roles.iter().copied().zip(parts).collect())
    }

    /// A fused tensor `[rows of all roles, …]` into one tensor for each role.
    fn split(&self, fused: &Tensor, module: &LayerModule) -> Result<Vec<Tensor>> {
        let rows: Vec<i64> = module.roles.iter().filter_map(|&r| self.config.shape(r).first().copied()).collect();
        if rows.len() == 1 {
            return Ok(vec![fused.clone()]);
        }
        match module.layout() {
            Fused::Rows => Ok(fused.split(&rows, 0)?),
            Fused::Heads => {
                let (heads, d) = (self.config.heads as i64, self.config.head_dim as i64);
                let rest = fused.shape().get(1..).unwrap_or_default().to_vec();
                let by_head = [&[heads, rows.len() as i64, d], rest.as_slice()].concat();
                let by_head = fused.view(&by_head)?;
                let role_shape = [&[heads * d], rest.as_slice()].concat();
                let role = |i| Ok(by_head.select(1, i)?.reshape(&role_shape)?);
                (0..rows.len() as i64).map(role).collect()
            }
        }
    }

    fn norm(&self, weight: Tensor, bias: Option<Tensor>) -> Norm {
        Norm { kind: self.config.family.norm, weight, bias, epsilon: self.config.norm_epsilon }
    }

    fn final_norm(&mut self) -> Result<Norm> {
        let (name, width) = (self.names.final_norm(), [self.config.hidden as i64]);
        let weight = self.take(format!("{name}.weight"), &width)?;
        let bias = match self.config.has_bias(WeightRole::NormMlp) {
            true => Some(self.take(format!("{name}.bias"), &width)?),
            false => None,
        };
        Ok(self.norm(weight, bias))
    }

    /// A tied head may be in the file as well, but must then be the same numbers.
    fn head(&mut self) -> Result<Option<Tensor>> {
        let (head, embedding) = (self.names.head(), self.names.embedding());
        if !self.config.tied {
            return self.vocabulary(head).map(Some);
        }
        if !self.weights.contains(&head) {
            return Ok(None);
        }
        if self.weights.bytes(&head) != self.weights.bytes(&embedding) {
            let (path, key) = (self.weights.file_of(&head).to_owned(), self.config.key("tied"));
            return Err(ModelError::TiedDiffer { path, key, embedding, head });
        }
        self.used.insert(head);
        Ok(None)
    }

    fn check_nothing_left(&self) -> Result<()> {
        let layers = self.config.layers;
        let extra = self.weights.names().find(|name| !self.used.contains(*name) && !is_buffer(name));
        match extra {
            None => Ok(()),
            Some(name) => Err(ModelError::TensorExtra {
                path: self.weights.file_of(name).to_owned(),
                tensor: name.to_owned(),
                family: self.config.family.name.clone(),
                layers,
            }),
        }
    }
}

/// Said before a weight is missed that stands there in another form.
fn check_not_quantised(weights: &Weights) -> Result<()> {
    match weights.names().find(|name| is_quantised(name)) {
        None => Ok(()),
        Some(name) => {
            Err(ModelError::TensorQuantised { path: weights.file_of(name).to_owned(), tensor: name.to_owned() })
        }
    }
}

/// The family file names every role (a test holds it to that), so a gap is a broken file of ours.
fn part(parts: &mut BTreeMap<WeightRole, Part>, layer: usize, role: WeightRole) -> Result<Part> {
    parts
        .remove(&role)
        .ok_or_else(|| ModelError::FamilyFile { message: format!("layer {layer} has no module for {}", role.as_str()) })
}
