//! The checks of a return before it touches a model: cheap and total ones first.

use super::scale::{LayerScale, norm};
use crate::artefacts::{ADAPTER, Emulator, Parameter, ReturnArtefact, TensorFile};
use crate::error::StageError;
use crate::stage::Stage;
use crate::training::attach;
use scaleot_model::Decoder;
use scaleot_plugin_api::AdapterModule;
use scaleot_store::Manifest;
use scaleot_tensor::{Tensor, no_grad};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

/// A return that passed every check.
pub struct VerifiedReturn {
    /// Adapters that trained, by slot.
    pub adapters: Vec<(usize, AdapterModule)>,
    /// The data owner's declaration.
    pub artefact: ReturnArtefact,
    /// Norms that were measured on the way.
    pub check: ReturnCheck,
    file: TensorFile,
}

/// Norms of a return, for the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReturnCheck {
    /// Tensors in the return.
    pub tensors: usize,
    /// `sqrt(sum ||delta||^2)` over all tensors.
    pub delta_norm: f64,
    /// Largest `||delta|| / scale` of a tensor, and its name; the scale is `||shipped||` unless that is near zero.
    pub largest_ratio: (f64, String),
}

/// Verifies a return against the emulator that it answers. `limit` is the largest `||delta|| / scale` of a tensor, see [`LayerScale`].
///
/// # Errors
/// The first check that fails, naming file and tensor.
pub fn verify(folder: &Path, emulator: &Emulator, limit: f64) -> Result<VerifiedReturn, StageError> {
    let (decoder, bundle) = (emulator.decoder(), emulator.bundle());
    let verified = Manifest::verify(folder, Stage::Tune.head())?;
    let artefact: ReturnArtefact = verified.body()?;
    let refuse = |what: &str, found: String, expected: String| StageError::InvalidArtefact {
        path: folder.display().to_string(),
        what: what.into(),
        found,
        expected,
    };
    if artefact.bundle != bundle {
        let expected = format!("{bundle}, the bundle of this run; was the return made with another bundle?");
        return Err(refuse(Stage::Bundle.artefact(), artefact.bundle.to_string(), expected));
    }
    let expected: Vec<(usize, AdapterModule)> =
        emulator.description().adapters().map(|(slot, module)| (slot, module.clone())).collect();
    if artefact.adapters != expected {
        let slots =
            |adapters: &[(usize, AdapterModule)]| format!("{:?}", adapters.iter().map(|a| a.0).collect::<Vec<_>>());
        return Err(refuse(
            "adapters",
            slots(&artefact.adapters),
            format!("those of the bundle, in slots {}", slots(&expected)),
        ));
    }
    let file = TensorFile::open(&verified.file(ADAPTER)?)?;
    let shipped = shipped_parameters(decoder, &expected)?;
    check_names(&file, &shipped)?;
    let slots: Vec<usize> = expected.iter().map(|(slot, _)| *slot).collect();
    let check = measure(&file, &shipped, &LayerScale::of(decoder, &slots)?, limit)?;
    Ok(VerifiedReturn { adapters: expected, artefact, check, file })
}

impl fmt::Display for ReturnCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "||delta|| = {}", figure(self.delta_norm))?;
        let (ratio, tensor) = &self.largest_ratio;
        match tensor.is_empty() {
            // New tensors have nothing to be measured against.
            true => Ok(()),
            false => write!(f, ", largest ||delta||/||shipped|| = {} ({tensor})", figure(*ratio)),
        }
    }
}

impl VerifiedReturn {
    /// A tensor of the return, if it has it.
    ///
    /// # Errors
    /// As [`TensorFile::find`].
    pub fn find(&self, name: &str) -> Result<Option<Tensor>, StageError> {
        self.file.find(name)
    }

    /// A tensor that the return must have.
    ///
    /// # Errors
    /// The name.
    pub fn tensor(&self, name: &str) -> Result<Tensor, StageError> {
        self.find(name)?.ok_or_else(|| self.file.refuse(name, "nothing".into(), "a tensor of the adapter"))
    }
}

/// The parameters as the bundle shipped them, by slot, from a copy of the emulator's decoder.
fn shipped_parameters(
    decoder: &Decoder,
    adapters: &[(usize, AdapterModule)],
) -> Result<Vec<(usize, Vec<Parameter>)>, StageError> {
    let mut decoder = decoder.clone();
    adapters.iter().map(|(slot, module)| Ok((*slot, attach(&mut decoder, *slot, module, 0)?))).collect()
}

fn check_names(file: &TensorFile, shipped: &[(usize, Vec<Parameter>)]) -> Result<(), StageError> {
    let parameters = || shipped.iter().flat_map(|(_, parameters)| parameters);
    let expected: BTreeSet<&str> = parameters().map(|parameter| parameter.name.as_str()).collect();
    if let Some(extra) = file.names().find(|name| !expected.contains(name)) {
        return Err(file.refuse(extra, "a tensor".into(), "only tensors of the adapter; nothing else may come back"));
    }
    for parameter in parameters() {
        file.get(&parameter.name, &parameter.tensor.shape())?;
    }
    Ok(())
}

fn measure(
    file: &TensorFile,
    shipped: &[(usize, Vec<Parameter>)],
    scales: &[(usize, LayerScale)],
    limit: f64,
) -> Result<ReturnCheck, StageError> {
    let _guard = no_grad();
    let (mut tensors, mut squares, mut largest) = (0, 0.0, (0.0, String::new()));
    for ((_, parameters), (_, scale)) in shipped.iter().zip(scales) {
        for parameter in parameters {
            let name = &parameter.name;
            let delta = norm(&file.get(name, &parameter.tensor.shape())?)?;
            tensors += 1;
            squares += delta * delta;
            let Some(shipped) = &parameter.shipped else { continue };
            let (own, of) = (norm(shipped)?, scale.measure(name, shipped)?);
            let ratio = delta / of;
            if ratio > limit || ratio.is_nan() {
                let against = if own < of { "the scale of its layer" } else { "||shipped||" };
                let found = format!("||delta|| / {against} = {}", figure(ratio));
                let expected = format!("at most {limit} (plug_in.max_delta_ratio)");
                return Err(file.refuse(name, found, &expected));
            }
            if ratio > largest.0 {
                largest = (ratio, name.clone());
            }
        }
    }
    Ok(ReturnCheck { tensors, delta_norm: squares.sqrt(), largest_ratio: largest })
}

/// Four decimals where they say something, else a power of ten.
fn figure(value: f64) -> String {
    if value == 0.0 || (1e-3..1e5).contains(&value) { format!("{value:.4}") } else { format!("{value:.3e}") }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
