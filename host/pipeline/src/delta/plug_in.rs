//! A return put into a decoder: `W := W + delta` in fp32, as it was trained; new tensors (low-rank deltas, bottlenecks) attached.

use super::verify::VerifiedReturn;
use crate::artefacts::tensor_mut;
use crate::error::StageError;
use crate::stage::Stage;
use scaleot_model::{Bottleneck, Decoder, DecoderLayer, LowRankDelta, ModelError, SoftPrompt, host_activation};
use scaleot_plugin_api::{AdapterPart, WeightRole};
use scaleot_tensor::{Dtype, Tensor, no_grad};

/// Puts a return into a decoder; `layer_of` turns a slot of the emulator into a layer of this decoder.
///
/// # Errors
/// A slot that has no layer here.
pub fn plug_in(
    decoder: &mut Decoder,
    returned: &VerifiedReturn,
    layer_of: &dyn Fn(usize) -> Option<usize>,
) -> Result<(), StageError> {
    let _guard = no_grad();
    for (slot, module) in &returned.adapters {
        let index = layer_of(*slot).ok_or_else(|| StageError::InvalidValue {
            subject: Stage::Tune.artefact().into(),
            what: format!("slot {slot}"),
            found: "no layer of the model behind it".into(),
            expected: "a slot of the bundle's ledger".into(),
        })?;
        let layer = decoder.layer_mut(index)?;
        for part in &module.parts {
            put_part(layer, *slot, part, returned)?;
        }
    }
    Ok(())
}

fn put_part(
    layer: &mut DecoderLayer,
    slot: usize,
    part: &AdapterPart,
    returned: &VerifiedReturn,
) -> Result<(), StageError> {
    let device = layer.norm_attention.weight.device();
    let placed = |name: String| -> Result<Tensor, StageError> { Ok(returned.tensor(&name)?.to_device(device)?) };
    let tensor = |role: &WeightRole, part: &str| placed(format!("slots.{slot}.{role}.{part}"));
    match part {
        AdapterPart::WholeLayer | AdapterPart::BiasOnly => {
            for (role, part) in WeightRole::ALL.iter().flat_map(|role| [(role, "weight"), (role, "bias")]) {
                let Some(delta) = returned.find(&format!("slots.{slot}.{role}.{part}"))? else { continue };
                if let Some(weight) = tensor_mut(layer, *role, part) {
                    // A new tensor: the original may be mapped, and other decoders share it.
                    let delta = delta.to_dtype(Dtype::F32)?.to_device(weight.device())?;
                    *weight = weight.to_dtype(Dtype::F32)?.add(&delta)?;
                }
            }
            layer.widen()?;
        }
        AdapterPart::LowRankDelta { role, rank, alpha } => {
            let (a, b) = (tensor(role, "lora_a")?, tensor(role, "lora_b")?);
            if let Some(projection) = layer.projection_mut(*role) {
                projection.delta = Some(LowRankDelta { a, b, scale: alpha / *rank as f64 });
            }
        }
        AdapterPart::Bottleneck { role, activation, .. } => {
            let (down, up) = (tensor(role, "down")?, tensor(role, "up")?);
            if let Some(projection) = layer.projection_mut(*role) {
                projection.bottleneck = Some(Bottleneck { down, up, activation: host_activation(*activation)? });
            }
        }
        AdapterPart::SoftPrompt { .. } => {
            let part = |part: &str| placed(format!("slots.{slot}.soft_prompt.{part}"));
            layer.prompt = Some(SoftPrompt { prompt: part("prompt")?, gate: part("gate")? });
        }
        other => return Err(ModelError::unknown_part(other).into()),
    }
    Ok(())
}
