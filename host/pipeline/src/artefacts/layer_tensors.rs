//! Whole layers by tensor name, as trainings leave them: `slots.N.<role>.<weight or bias>`.

use super::TensorFile;
use crate::error::StageError;
use scaleot_model::{Decoder, DecoderLayer, WeightForm};
use scaleot_plugin_api::WeightRole;
use scaleot_tensor::{Dtype, Tensor};

/// The tensor of a role's weight or bias in a layer, to be replaced; `None` if there is none, or it is in two factors.
pub fn tensor_mut<'a>(layer: &'a mut DecoderLayer, role: WeightRole, part: &str) -> Option<&'a mut Tensor> {
    if !role.is_matrix() {
        let norm = layer.norm_mut(role)?;
        return if part == "weight" { Some(&mut norm.weight) } else { norm.bias.as_mut() };
    }
    let projection = layer.projection_mut(role)?;
    match (part, &mut projection.weight) {
        ("weight", WeightForm::Dense(weight)) => Some(weight),
        ("bias", _) => projection.bias.as_mut(),
        _ => None,
    }
}

/// Puts the whole layers of a file, named as [`Parameter`]s are, into the slots of a decoder, which computes with them as they
/// were trained: in fp32.
///
/// # Errors
/// A tensor that the file lacks or has in another shape.
pub fn put_back(file: &TensorFile, decoder: &mut Decoder, slots: &[usize]) -> Result<(), StageError> {
    let device = decoder.device();
    for &slot in slots {
        let layer = decoder.layer_mut(slot)?;
        for (role, part) in WeightRole::ALL.iter().flat_map(|role| [(role, "weight"), (role, "bias")]) {
            if let Some(tensor) = tensor_mut(layer, *role, part) {
                let trained = file.get(&format!("slots.{slot}.{role}.{part}"), &tensor.shape())?;
                *tensor = trained.to_dtype(Dtype::F32)?.to_device(device)?;
            }
        }
        layer.widen()?;
    }
    Ok(())
}
