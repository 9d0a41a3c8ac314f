//! Module descriptions on disk and in the runtime: names instead of tensors, slots instead of layers.

use super::TensorFile;
use crate::error::StageError;
use scaleot_plugin_api::{Module, Substitute};
use scaleot_tensor::Tensor;

/// A description by names, and the tensors under these names: `{prefix}.0`, `{prefix}.1` in depth-first order.
pub fn named(substitute: &Substitute<Tensor>, prefix: &str) -> (Substitute<String>, Vec<(String, Tensor)>) {
    let mut tensors = Vec::new();
    let mut name = |tensor: Tensor| {
        let name = format!("{prefix}.{}", tensors.len());
        tensors.push((name.clone(), tensor));
        Ok::<_, std::convert::Infallible>(name)
    };
    let module = substitute.module.clone().try_map(&mut name).unwrap_or_else(|never| match never {});
    (Substitute::new(module, substitute.trainable), tensors)
}

/// A description whose names stand in `file` (`None` when no substitute has tensors).
///
/// # Errors
/// A name that the file does not have.
pub fn with_tensors(
    substitute: Substitute<String>,
    file: Option<&TensorFile>,
) -> Result<Substitute<Tensor>, StageError> {
    let mut find = |name: String| {
        let found = file.map(|file| file.find(&name)).transpose()?.flatten();
        found.ok_or_else(|| StageError::InvalidArtefact {
            path: file.map_or_else(|| "substitutes".into(), |file| file.path().display().to_string()),
            what: format!("tensor {name} of a substitute"),
            found: "nothing".into(),
            expected: "the tensor".into(),
        })
    };
    Ok(Substitute::new(substitute.module.try_map(&mut find)?, substitute.trainable))
}

/// The same module where a decoder's slots are not the full model's layers: `slot_of` turns a layer into its slot.
///
/// # Errors
/// A shared layer that the decoder does not have.
pub fn in_slots(
    module: Module<Tensor>,
    slot_of: &dyn Fn(usize) -> Option<usize>,
) -> Result<Module<Tensor>, StageError> {
    Ok(match module {
        Module::Sequential { modules } => Module::Sequential {
            modules: modules.into_iter().map(|module| in_slots(module, slot_of)).collect::<Result<_, _>>()?,
        },
        Module::Residual { module } => Module::Residual { module: Box::new(in_slots(*module, slot_of)?) },
        Module::SharedWith { layer } => Module::SharedWith {
            layer: slot_of(layer).ok_or_else(|| StageError::InvalidValue {
                subject: "layer plan".into(),
                what: format!("a substitute shares layer {layer}"),
                found: "no such layer, or none that stays".into(),
                expected: "a layer that stays in the emulator".into(),
            })?,
        },
        other => other,
    })
}
