//! Makes an adapter layer trainable: leaves in place of weights (`whole_layer`, `bias_only`), or new tensors beside them.
//!
//! Low-rank delta: `A` uniform in `+-1/sqrt(cols)` (Kaiming, a = sqrt 5, as PEFT), `B` zero. Bottleneck: `down` the same, `up` zero.
//! Soft prompt: standard normal (as LLaMA-Adapter and PEFT), its gate zero.
//! So before the first step every adapter leaves the model as it is.
//! Tensors that train are fp32, and so is all of a layer whose own tensors train. Only a narrow file rounds them, once.

use crate::artefacts::{Parameter, tensor_mut};
use crate::error::StageError;
use crate::seed::seed_for;
use scaleot_model::{Bottleneck, Decoder, DecoderLayer, LowRankDelta, ModelError, SoftPrompt, host_activation};
use scaleot_plugin_api::{AdapterModule, AdapterPart, WeightRole};
use scaleot_tensor::{Device, Dtype, NormalStream, Tensor};

/// Makes what `module` names trainable in one slot.
///
/// # Errors
/// A factored weight under a whole-layer adapter, or memory that cannot be had.
pub fn attach(
    decoder: &mut Decoder,
    slot: usize,
    module: &AdapterModule,
    seed: u64,
) -> Result<Vec<Parameter>, StageError> {
    let device = decoder.device();
    let layer = decoder.layer_mut(slot)?;
    let mut parameters = Vec::new();
    for part in &module.parts {
        match part {
            AdapterPart::WholeLayer => leaves(layer, slot, &["weight", "bias"], &mut parameters)?,
            AdapterPart::BiasOnly => leaves(layer, slot, &["bias"], &mut parameters)?,
            AdapterPart::LowRankDelta { role, rank, alpha } => {
                let [a, b] = fresh(layer, *role, *rank, seed_for(seed, &format!("{slot}/{role}/lora")))?;
                let (a, b) = (leaf(&a.to_device(device)?)?, leaf(&b.to_device(device)?)?);
                parameters.push(new_parameter(slot, *role, "lora_a", &a));
                parameters.push(new_parameter(slot, *role, "lora_b", &b));
                if let Some(projection) = layer.projection_mut(*role) {
                    projection.delta = Some(LowRankDelta { a, b, scale: alpha / *rank as f64 });
                }
            }
            AdapterPart::Bottleneck { role, size, activation } => {
                let [down, up] = bottleneck(layer, *role, *size, seed_for(seed, &format!("{slot}/{role}/bottleneck")))?;
                let (down, up) = (leaf(&down.to_device(device)?)?, leaf(&up.to_device(device)?)?);
                parameters.push(new_parameter(slot, *role, "down", &down));
                parameters.push(new_parameter(slot, *role, "up", &up));
                if let Some(projection) = layer.projection_mut(*role) {
                    projection.bottleneck = Some(Bottleneck { down, up, activation: host_activation(*activation)? });
                }
            }
            AdapterPart::SoftPrompt { length } => {
                let prompt = soft_prompt(layer, *length, seed_for(seed, &format!("{slot}/soft_prompt")), device)?;
                for (part, tensor) in ["prompt", "gate"].into_iter().zip(prompt.tensors()) {
                    let name = format!("slots.{slot}.soft_prompt.{part}");
                    parameters.push(Parameter { name, tensor: tensor.clone(), shipped: None });
                }
                layer.prompt = Some(prompt);
            }
            other => return Err(ModelError::unknown_part(other).into()),
        }
    }
    Ok(parameters)
}

fn leaves(
    layer: &mut DecoderLayer,
    slot: usize,
    parts: &[&str],
    parameters: &mut Vec<Parameter>,
) -> Result<(), StageError> {
    let before = parameters.len();
    for role in WeightRole::ALL {
        for part in parts {
            let Some(tensor) = tensor_mut(layer, role, part) else { continue };
            let shipped = tensor.clone();
            *tensor = leaf(&shipped)?;
            let name = format!("slots.{slot}.{role}.{part}");
            parameters.push(Parameter { name, tensor: tensor.clone(), shipped: Some(shipped) });
        }
    }
    if parameters.len() > before {
        // What does not train of a layer that does computes beside it.
        return Ok(layer.widen()?);
    }
    Err(StageError::InvalidValue {
        subject: "adapter".into(),
        what: format!("slot {slot}"),
        found: "no tensor to train".into(),
        expected: "biases for a bias-only adapter; this model family may have none".into(),
    })
}

/// A copy of its own that gradients reach, in fp32 whatever the weights are stored in: small steps would be lost in bf16 and fp16.
fn leaf(tensor: &Tensor) -> Result<Tensor, StageError> {
    let tensor = tensor.detach()?;
    let own =
        if tensor.dtype() == Dtype::F32 { tensor.contiguous()?.deep_copy()? } else { tensor.to_dtype(Dtype::F32)? };
    Ok(own.contiguous()?.set_requires_grad(true)?)
}

fn new_parameter(slot: usize, role: WeightRole, part: &str, tensor: &Tensor) -> Parameter {
    Parameter { name: format!("slots.{slot}.{role}.{part}"), tensor: tensor.clone(), shipped: None }
}

/// `A [rank, cols]` and `B [rows, rank]`.
fn fresh(layer: &DecoderLayer, role: WeightRole, rank: usize, seed: u64) -> Result<[Tensor; 2], StageError> {
    check_size(rank)?;
    let (rows, cols) = matrix_shape(layer, role)?;
    random_and_zero((rank as i64, cols), (rows, rank as i64), seed)
}

/// `down [size, rows]` and `up [rows, size]`, on the output of the projection.
fn bottleneck(layer: &DecoderLayer, role: WeightRole, size: usize, seed: u64) -> Result<[Tensor; 2], StageError> {
    check_size(size)?;
    let (rows, _) = matrix_shape(layer, role)?;
    random_and_zero((size as i64, rows), (rows, size as i64), seed)
}

fn soft_prompt(layer: &DecoderLayer, length: usize, seed: u64, device: Device) -> Result<SoftPrompt, StageError> {
    check_size(length)?;
    let (_, hidden) = matrix_shape(layer, WeightRole::AttentionK)?;
    let prompt = NormalStream::new(seed, 0).tensor(&[length as i64, hidden], 1.0)?;
    let gate = Tensor::zeros(&[1], Dtype::F32, device)?;
    Ok(SoftPrompt { prompt: leaf(&prompt.to_device(device)?)?, gate: leaf(&gate)? })
}

fn random_and_zero(first: (i64, i64), second: (i64, i64), seed: u64) -> Result<[Tensor; 2], StageError> {
    let bound = 1.0 / (first.1 as f32).sqrt();
    let random = NormalStream::new(seed, 0).uniform_tensor(&[first.0, first.1], bound)?;
    let zero = NormalStream::new(seed, 1).uniform_tensor(&[second.0, second.1], 0.0)?;
    Ok([random, zero])
}

/// A bundle comes from outside: what it asks to train must not take all memory.
fn check_size(size: usize) -> Result<(), StageError> {
    let largest = AdapterPart::LARGEST_SIZE;
    if (1..=largest).contains(&size) {
        return Ok(());
    }
    Err(StageError::InvalidValue {
        subject: "adapter".into(),
        what: "rank, width or length".into(),
        found: size.to_string(),
        expected: format!("a size in 1..={largest}"),
    })
}

fn matrix_shape(layer: &DecoderLayer, role: WeightRole) -> Result<(i64, i64), StageError> {
    let none = || StageError::InvalidValue {
        subject: "adapter".into(),
        what: role.to_string(),
        found: "no such projection in this layer".into(),
        expected: "a projection that the model has".into(),
    };
    let weight = layer.projection(role).ok_or_else(none)?.weight.dense()?;
    Ok((weight.size(0)?, weight.size(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use scaleot_model::Model;
    use std::path::Path;

    fn attached(part: AdapterPart) -> Result<Vec<Parameter>, StageError> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/llama");
        let mut decoder = Model::load(&folder, Device::Cpu, Dtype::F32).unwrap().decoder;
        attach(&mut decoder, 0, &AdapterModule::new(vec![part]), 0)
    }

    #[test]
    fn a_soft_prompt_is_random_behind_a_gate_of_zero() {
        let parameters = attached(AdapterPart::SoftPrompt { length: 64 }).unwrap();
        let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        assert_eq!(names, ["slots.0.soft_prompt.prompt", "slots.0.soft_prompt.gate"]);
        let [prompt, gate] = [0, 1].map(|index: usize| parameters[index].tensor.to_vec_f32().unwrap());
        let variance = prompt.iter().map(|value| value * value).sum::<f32>() / prompt.len() as f32;
        assert!((variance - 1.0).abs() < 0.1 && gate == [0.0], "{variance} {gate:?}");
    }

    /// Leaves are fp32 beside any weights, the layer around them too, and the model computes what it did before.
    #[test]
    fn what_trains_is_fp32() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/gpt2");
        let batch = scaleot_data::PackedBatch::causal([&[5_i64, 9, 3, 7][..]]);
        let targets = [(0, 9), (1, 3), (2, 7)];
        for dtype in [Dtype::F32, Dtype::BF16, Dtype::F16] {
            for part in [AdapterPart::WholeLayer, AdapterPart::BiasOnly] {
                let mut decoder = Model::load(&folder, Device::Cpu, dtype).unwrap().decoder;
                let loss = |decoder: &Decoder| decoder.loss(&batch, &targets, None).unwrap();
                let before = loss(&decoder).to_f64().unwrap();
                let parameters = attach(&mut decoder, 1, &AdapterModule::new(vec![part]), 0).unwrap();
                assert!(parameters.iter().all(|parameter| parameter.tensor.dtype() == Dtype::F32));
                assert_eq!((decoder.layer(1).unwrap().dtype(), decoder.layer(0).unwrap().dtype()), (Dtype::F32, dtype));
                let leaves: Vec<Tensor> = parameters.into_iter().map(|parameter| parameter.tensor).collect();
                let after = loss(&decoder);
                assert!((after.to_f64().unwrap() - before).abs() < 0.01 * before, "{dtype:?}");
                let gradients = after.gradients(&leaves).unwrap();
                assert!(gradients.iter().all(|found| found.as_ref().is_some_and(|g| g.dtype() == Dtype::F32)));
            }
        }
    }

    #[test]
    fn no_part_takes_all_memory() {
        let (role, activation) = (WeightRole::AttentionQ, scaleot_plugin_api::Activation::Relu);
        for size in [0, AdapterPart::LARGEST_SIZE + 1, usize::MAX] {
            let low_rank = AdapterPart::LowRankDelta { role, rank: size, alpha: 1.0 };
            let bottleneck = AdapterPart::Bottleneck { role, size, activation };
            for part in [low_rank, bottleneck, AdapterPart::SoftPrompt { length: size }] {
                let error = attached(part).err().unwrap().to_string();
                assert!(error.contains(&size.to_string()) && error.contains("1..=65536"), "{error}");
            }
        }
    }
}
