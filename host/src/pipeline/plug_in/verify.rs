//! What a return must satisfy before it touches a model (reliability, section 3): cheap and total checks first.

use crate::model::Decoder;
use crate::pipeline::bundle::EmulatorDescription;
use crate::pipeline::error::StageError;
use crate::pipeline::tensor_file::TensorFile;
use crate::pipeline::tune::{ADAPTER, Parameter, RETURN, ReturnArtefact, attach};
use crate::store::{Digest, Manifest};
use crate::tensor::{Tensor, no_grad};
use plugin_api::AdapterModule;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

/// A return that passed every check.
pub struct VerifiedReturn {
    /// What trained, by slot.
    pub adapters: Vec<(usize, AdapterModule)>,
    /// What the data owner declared.
    pub artefact: ReturnArtefact,
    /// What was measured on the way.
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
    /// Largest `||delta|| / ||shipped||` of a tensor, and its name.
    pub largest_ratio: (f64, String),
}

/// Verifies a return against the emulator that it answers. `limit` is the largest `||delta|| / ||shipped||` of a tensor.
///
/// # Errors
/// The first check that fails, naming file and tensor.
pub fn verify(
    folder: &Path,
    (decoder, description): (&Decoder, &EmulatorDescription),
    bundle: Digest,
    limit: f64,
) -> Result<VerifiedReturn, StageError> {
    let verified = Manifest::verify(folder, RETURN)?;
    let artefact: ReturnArtefact = verified.body()?;
    let refuse = |what: &str, found: String, expected: String| StageError::Artefact {
        path: folder.display().to_string(),
        what: what.into(),
        found,
        expected,
    };
    if artefact.bundle != bundle {
        let expected = format!("{bundle}, the bundle of this run; was the return made with another bundle?");
        return Err(refuse("bundle", artefact.bundle.to_string(), expected));
    }
    let expected: Vec<(usize, AdapterModule)> =
        description.adapters().map(|(slot, module)| (slot, module.clone())).collect();
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
    let check = measure(&file, &shipped, limit)?;
    Ok(VerifiedReturn { adapters: expected, artefact, check, file })
}

impl fmt::Display for ReturnCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "||delta|| = {:.4}", self.delta_norm)?;
        let (ratio, tensor) = &self.largest_ratio;
        match tensor.is_empty() {
            // New tensors have nothing to be measured against.
            true => Ok(()),
            false => write!(f, ", largest ||delta||/||shipped|| = {ratio:.4} ({tensor})"),
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

/// The parameters as the bundle shipped them, from a copy of the emulator's decoder.
fn shipped_parameters(decoder: &Decoder, adapters: &[(usize, AdapterModule)]) -> Result<Vec<Parameter>, StageError> {
    let mut decoder = decoder.clone();
    let mut parameters = Vec::new();
    for (slot, module) in adapters {
        parameters.append(&mut attach(&mut decoder, *slot, module, 0)?);
    }
    Ok(parameters)
}

fn check_names(file: &TensorFile, shipped: &[Parameter]) -> Result<(), StageError> {
    let expected: BTreeSet<&str> = shipped.iter().map(|parameter| parameter.name.as_str()).collect();
    if let Some(extra) = file.names().find(|name| !expected.contains(name)) {
        return Err(file.refuse(extra, "a tensor".into(), "only tensors of the adapter; nothing else may come back"));
    }
    for parameter in shipped {
        file.get(&parameter.name, &parameter.tensor.shape())?;
    }
    Ok(())
}

fn measure(file: &TensorFile, shipped: &[Parameter], limit: f64) -> Result<ReturnCheck, StageError> {
    let _guard = no_grad();
    let (mut squares, mut largest) = (0.0, (0.0, String::new()));
    for parameter in shipped {
        let delta = file.get(&parameter.name, &parameter.tensor.shape())?;
        let norm = delta.norm()?.to_f64()?;
        squares += norm * norm;
        let Some(shipped) = &parameter.shipped else { continue };
        let ratio = norm / shipped.norm()?.to_f64()?.max(f64::MIN_POSITIVE);
        if norm > 0.0 && ratio > limit {
            let expected = format!("at most {limit} (plug_in.max_delta_ratio)");
            return Err(file.refuse(&parameter.name, format!("||delta|| / ||shipped|| = {ratio:.3}"), &expected));
        }
        if ratio > largest.0 {
            largest = (ratio, parameter.name.clone());
        }
    }
    Ok(ReturnCheck { tensors: shipped.len(), delta_norm: squares.sqrt(), largest_ratio: largest })
}
