//! Weights of one layer as plugins see them.

use crate::error::StageError;
use scaleot_model::Decoder;
use scaleot_plugin_api::WeightRole;
use scaleot_tensor::{Dtype, Tensor};

/// Dense weights of a layer by role, norms included, in fp32 whatever the model is stored in.
///
/// # Errors
/// A layer that does not exist.
pub fn layer_weights(decoder: &Decoder, layer: usize) -> Result<Vec<(WeightRole, Tensor)>, StageError> {
    let layer = decoder.layer(layer)?;
    let mut weights = Vec::new();
    for role in WeightRole::ALL {
        if let Some(projection) = layer.projection(role) {
            weights.push((role, projection.weight.dense()?.to_dtype(Dtype::F32)?));
        } else if let Some(norm) = layer.norm(role) {
            weights.push((role, norm.weight.to_dtype(Dtype::F32)?));
        }
    }
    Ok(weights)
}
