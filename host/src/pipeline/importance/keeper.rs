//! What an importance stage keeps while it runs: curves, and points that it can continue from.
//!
//! A plugin marks a point with its own state; the substitutes, both optimisers and the text counters go with it, so that a
//! stage stopped at any step continues bit by bit. Points are written every so many marks, and when the person asks to stop.

use super::curves::Curves;
use super::mixture::{Mixture, MixtureState};
use crate::pipeline::error::StageError;
use crate::pipeline::replace::{named, with_tensors};
use crate::pipeline::tensor_file::{TensorFile, write_tensors};
use crate::store::{Checkpoints, ManifestHead, StageDir, StoreError, VerifiedFolder};
use crate::tensor::Tensor;
use plugin_api::Substitute;
use serde::{Deserialize, Serialize};

/// The format of the stage's checkpoints, which never leave the run folder.
pub const CHECKPOINT: ManifestHead = ManifestHead { format: "scaleot-importance-checkpoint", version: 1 };
const PLUGIN_STATE: &str = "plugin.state";
const SUBSTITUTES: &str = "substitutes.safetensors";
const OPTIMISERS: &str = "optimisers.safetensors";

/// Who is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The replacer prepares its substitutes.
    Prepare,
    /// The estimator scores.
    Estimate,
}

/// What a checkpoint says beside its tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    inputs: String,
    phase: Phase,
    curves: Curves,
    substitutes: Vec<Substitute<String>>,
    mixture: Option<MixtureState>,
}

/// Curves and checkpoints of one stage.
pub struct Keeper<'a> {
    store: Checkpoints<'a>,
    inputs: &'a str,
    every: u64,
    marks: u64,
    /// The last mark that is not written yet.
    pending: Option<(u64, Vec<u8>)>,
    phase: Phase,
    /// The curves so far.
    pub curves: Curves,
}

/// A stage taken up again.
pub struct Restored {
    /// Who was at work.
    pub phase: Phase,
    /// That plugin's state.
    pub plugin_state: Vec<u8>,
    /// The substitutes of the checkpoint.
    pub substitutes: Vec<Substitute<Tensor>>,
    /// What else the mixture goes on from.
    pub mixture: Option<(MixtureState, TensorFile)>,
}

impl<'a> Keeper<'a> {
    /// Keeps in `store`, every `every` marks; `inputs` is the digest of all that the stage depends on.
    pub fn new(store: Checkpoints<'a>, inputs: &'a str, every: u64) -> Self {
        let (curves, phase) = (Curves::default(), Phase::Prepare);
        Self { store, inputs, every: every.max(1), marks: 0, pending: None, phase, curves }
    }

    /// Who is at work from here; a mark of the plugin before is forgotten.
    pub fn begin(&mut self, phase: Phase) {
        (self.phase, self.pending) = (phase, None);
    }

    /// The newest whole checkpoint of the same inputs; what was passed over is told to `log`.
    ///
    /// # Errors
    /// A checkpoint that cannot be read although its digests are right.
    pub fn latest(&mut self, log: &mut dyn FnMut(&str)) -> Result<Option<Restored>, StageError> {
        let mut damaged = Vec::new();
        let latest = self.store.latest(&mut damaged)?;
        damaged.iter().for_each(|fault| log(&format!("a damaged checkpoint is left aside: {fault}")));
        let Some((marks, folder)) = latest else { return Ok(None) };
        let body: Body = folder.body()?;
        if body.inputs != self.inputs {
            log("the config or its inputs changed: the checkpoint of the earlier run is not used");
            return Ok(None);
        }
        log(&format!("continuing from the checkpoint at step {marks}"));
        let open = |name: &str| -> Result<Option<TensorFile>, StageError> {
            if folder.has(name) { Ok(Some(TensorFile::open(&folder.file(name)?)?)) } else { Ok(None) }
        };
        let file = open(SUBSTITUTES)?;
        let substitutes = body.substitutes.into_iter().map(|substitute| with_tensors(substitute, file.as_ref()));
        let substitutes = substitutes.collect::<Result<Vec<_>, _>>()?;
        let mixture = body.mixture.zip(open(OPTIMISERS)?);
        (self.marks, self.phase, self.curves) = (marks, body.phase, body.curves);
        Ok(Some(Restored { phase: self.phase, plugin_state: plugin_state(&folder)?, substitutes, mixture }))
    }

    /// A plugin marks a point; it is written when its turn has come.
    ///
    /// # Errors
    /// A full disk.
    pub fn mark(&mut self, state: Vec<u8>, mixture: Option<&Mixture>) -> Result<(), StageError> {
        self.marks += 1;
        self.pending = Some((moved(mixture), state));
        if self.marks.is_multiple_of(self.every) { self.flush(mixture) } else { Ok(()) }
    }

    /// Writes the last mark, unless it is written already or the mixture has moved on since.
    ///
    /// # Errors
    /// A full disk.
    pub fn flush(&mut self, mixture: Option<&Mixture>) -> Result<(), StageError> {
        match self.pending.take() {
            Some((at, state)) if at == moved(mixture) => self.write(&state, mixture),
            _ => Ok(()),
        }
    }

    fn write(&self, plugin_state: &[u8], mixture: Option<&Mixture>) -> Result<(), StageError> {
        let (mut described, mut tensors) = (Vec::new(), Vec::new());
        for (layer, substitute) in mixture.map_or(&[][..], Mixture::substitutes).iter().enumerate() {
            let (names, mut own) = named(substitute, &format!("layers.{layer}"));
            described.push(names);
            tensors.append(&mut own);
        }
        let (state, moments) = mixture.map(Mixture::state).unzip();
        let body = Body {
            inputs: self.inputs.into(),
            phase: self.phase,
            curves: self.curves.clone(),
            substitutes: described,
            mixture: state,
        };
        let moments = moments.unwrap_or_default();
        let mut fault = None;
        let saved = self.store.save(self.marks, &body, |stage| {
            stage.write_bytes(PLUGIN_STATE, plugin_state)?;
            put(stage, SUBSTITUTES, &tensors, &mut fault)?;
            put(stage, OPTIMISERS, &moments, &mut fault)
        });
        match fault {
            Some(error) => Err(error),
            None => Ok(saved?),
        }
    }

    /// Removes the checkpoints of a finished stage.
    ///
    /// # Errors
    /// A folder that cannot be removed.
    pub fn clear(&self) -> Result<(), StageError> {
        Ok(self.store.clear()?)
    }
}

/// How far the mixture has moved on.
fn moved(mixture: Option<&Mixture>) -> u64 {
    mixture.map_or(0, Mixture::batches_seen)
}

/// Writes tensors, if there are any; what is no matter of the store goes to `fault`, and nothing is committed then.
fn put(
    stage: &mut StageDir,
    name: &str,
    tensors: &[(String, Tensor)],
    fault: &mut Option<StageError>,
) -> Result<(), StoreError> {
    if tensors.is_empty() {
        return Ok(());
    }
    match write_tensors(stage, name, tensors) {
        Ok(()) => Ok(()),
        Err(StageError::Store(error)) => Err(error),
        Err(error) => {
            *fault = Some(error);
            Ok(())
        }
    }
}

fn plugin_state(folder: &VerifiedFolder) -> Result<Vec<u8>, StageError> {
    let path = folder.file(PLUGIN_STATE)?;
    Ok(std::fs::read(&path).map_err(|source| StoreError::read(&path, source))?)
}
