//! A decoder's tensors under the names of its family, fused and turned as its files have them.
//!
//! The inverse of `assemble`. A fused tensor is put together only when it is asked for.

use super::config::ModelConfig;
use super::decoder::{Decoder, Slot};
use super::error::{ModelError, Result};
use super::family::{Fused, LayerModule};
use super::layer::DecoderLayer;
use super::names::Names;
use super::projection::Projection;
use scaleot_plugin_api::{Module, WeightRole};
use scaleot_tensor::{Dtype, Tensor};

/// A tensor of a folder: its name and shape are known, its data may still have to be put together.
pub(super) struct NamedPart<'a> {
    pub name: String,
    pub shape: Vec<i64>,
    pub dtype: Dtype,
    source: Source<'a>,
}

enum Source<'a> {
    Whole(&'a Tensor),
    Projections { config: &'a ModelConfig, module: &'a LayerModule, of: Vec<&'a Projection>, bias: bool },
}

impl NamedPart<'_> {
    fn whole(name: String, tensor: &Tensor) -> NamedPart<'_> {
        NamedPart { name, shape: tensor.shape(), dtype: tensor.dtype(), source: Source::Whole(tensor) }
    }

    /// As [`whole`](Self::whole), in the type of the model's files: a layer in fp32 is rounded where it is written, and once.
    fn of_layer(name: String, tensor: &Tensor, dtype: Dtype) -> NamedPart<'_> {
        NamedPart { dtype, ..NamedPart::whole(name, tensor) }
    }

    /// The tensor as the file has it.
    pub(crate) fn tensor(&self) -> Result<Tensor> {
        match &self.source {
            Source::Whole(tensor) => Ok(tensor.to_dtype(self.dtype)?),
            Source::Projections { config, module, of, bias } => {
                let part = |p: &&Projection| if *bias { bias_of(p) } else { Ok(p.merged()?) };
                let parts = of.iter().map(|p| Ok(part(p)?.to_dtype(self.dtype)?));
                let fused = fuse(config, module, parts.collect::<Result<Vec<_>>>()?)?;
                if module.transposed && !bias { Ok(fused.transpose(0, 1)?) } else { Ok(fused) }
            }
        }
    }
}

impl Decoder {
    /// All tensors under the names that Transformers gives them, layers numbered anew where slots were
    /// dropped. Fused ones are put together, low-rank forms multiplied out.
    #[cfg(test)]
    pub(crate) fn named_tensors(&self) -> Result<Vec<(String, Tensor)>> {
        self.named_parts()?.iter().map(|part| Ok((part.name.clone(), part.tensor()?))).collect()
    }

    /// The tensors of one layer, named as layer `number` of a folder.
    ///
    /// # Errors
    /// A slot without a layer, or an operation that libtorch refuses.
    pub fn layer_tensors(&self, slot: usize, number: usize) -> Result<Vec<(String, Tensor)>> {
        let names = Names::for_writing(self.config.family);
        let parts = layer_parts(&self.config, self.dtype(), &names, self.layer(slot)?, number)?;
        parts.iter().map(|part| Ok((part.name.clone(), part.tensor()?))).collect()
    }

    pub(super) fn named_parts(&self) -> Result<Vec<NamedPart<'_>>> {
        let names = Names::for_writing(self.config.family);
        let mut parts = vec![NamedPart::whole(names.embedding(), &self.embedding)];
        if let (Some(name), Some(table)) = (names.positions(), &self.position_embedding) {
            parts.push(NamedPart::whole(name, table));
        }
        for (number, (_, layer)) in self.kept_layers()?.into_iter().enumerate() {
            parts.extend(layer_parts(&self.config, self.dtype(), &names, layer, number)?);
        }
        parts.push(NamedPart::whole(names.final_norm() + ".weight", &self.final_norm.weight));
        if let Some(bias) = &self.final_norm.bias {
            parts.push(NamedPart::whole(names.final_norm() + ".bias", bias));
        }
        if let Some(head) = &self.head {
            parts.push(NamedPart::whole(names.head(), head));
        }
        Ok(parts)
    }

    /// The layers that are left when identity slots are taken out, with their slots.
    pub(super) fn kept_layers(&self) -> Result<Vec<(usize, &DecoderLayer)>> {
        let mut layers: Vec<(usize, &DecoderLayer)> = Vec::with_capacity(self.slots.len());
        for (index, slot) in self.slots.iter().enumerate() {
            match slot {
                Slot::Layer(layer) => layers.push((index, layer)),
                Slot::Module(Module::Identity) => {}
                Slot::Module(_) => {
                    return Err(ModelError::Slot {
                        layer: index,
                        found: "a module".to_owned(),
                        expected: "a decoder layer or nothing: other modules have no place in a Transformers folder",
                    });
                }
            }
        }
        Ok(layers)
    }
}

fn layer_parts<'a>(
    config: &'a ModelConfig,
    dtype: Dtype,
    names: &Names,
    layer: &'a DecoderLayer,
    number: usize,
) -> Result<Vec<NamedPart<'a>>> {
    let mut parts = Vec::new();
    for module in &config.family.layer {
        let name = names.module(number, &module.module);
        if let Some(norm) = module.roles.first().and_then(|&role| layer.norm(role)) {
            parts.push(NamedPart::of_layer(format!("{name}.weight"), &norm.weight, dtype));
            parts.extend(norm.bias.as_ref().map(|bias| NamedPart::of_layer(format!("{name}.bias"), bias, dtype)));
            continue;
        }
        let of = module.roles.iter().map(|&role| writable(layer, role, number)).collect::<Result<Vec<_>>>()?;
        let mut push = |suffix: &str, shape: Vec<i64>, bias| {
            let source = Source::Projections { config, module, of: of.clone(), bias };
            parts.push(NamedPart { name: format!("{name}.{suffix}"), shape, dtype, source });
        };
        push("weight", module.weight_shape(config), false);
        if module.has_bias(config) {
            let rows = module.roles.iter().filter_map(|&role| config.shape(role).first().copied()).sum();
            push("bias", vec![rows], true);
        }
    }
    Ok(parts)
}

fn writable(layer: &DecoderLayer, role: WeightRole, number: usize) -> Result<&Projection> {
    let unfit = |found: String| {
        let expected = "plain weights: a bottleneck or a soft prompt has no place in a Transformers folder";
        Err(ModelError::Slot { layer: number, found, expected })
    };
    if layer.prompt.is_some() {
        return unfit("a soft prompt".to_owned());
    }
    let projection = layer
        .projection(role)
        .ok_or_else(|| ModelError::FamilyFile { message: format!("layer {number} has no {role}") })?;
    if projection.bottleneck.is_some() {
        return unfit(format!("a bottleneck after {role}"));
    }
    Ok(projection)
}

fn bias_of(projection: &Projection) -> Result<Tensor> {
    projection.bias.clone().ok_or_else(|| ModelError::Batch {
        what: "bias".to_owned(),
        found: "missing".to_owned(),
        expected: "a bias, as the config says".to_owned(),
    })
}

/// Parts `[rows, …]` of the roles, laid together as the family stores them.
pub(super) fn fuse(config: &ModelConfig, module: &LayerModule, parts: Vec<Tensor>) -> Result<Tensor> {
    if let [only] = parts.as_slice() {
        return Ok(only.clone());
    }
    if module.layout() == Fused::Rows {
        return Ok(Tensor::cat(&parts, 0)?);
    }
    let (heads, d) = (config.heads as i64, config.head_dim as i64);
    let rest = parts.first().map(Tensor::shape).unwrap_or_default().get(1..).unwrap_or_default().to_vec();
    let by_head = |part: &Tensor| part.reshape(&[&[heads, d], rest.as_slice()].concat());
    let parts = parts.iter().map(by_head).collect::<std::result::Result<Vec<_>, _>>()?;
    let rows = heads * d * parts.len() as i64;
    Ok(Tensor::stack(&parts, 1)?.reshape(&[&[rows], rest.as_slice()].concat())?)
}
