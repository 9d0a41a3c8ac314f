//! What an importance stage keeps while it runs: curves, and points that it can continue from.
//!
//! A plugin marks a point with its own state; the substitutes, both optimisers and the text counters go with it, so that a
//! stage stopped at any step continues bit by bit. Points are written every so many marks, and when the person asks to stop.

use super::curves::Curves;
use super::mixture::{Mixture, MixtureState};
use crate::error::StageError;
use crate::replace::{named, with_tensors};
use crate::tensor_file::{TensorFile, write_tensors};
use scaleot_plugin_api::Substitute;
use scaleot_store::{Checkpoints, ManifestHead, StageDir, StoreError, VerifiedFolder};
use scaleot_tensor::Tensor;
use serde::{Deserialize, Serialize};

/// The format of the stage's checkpoints, which never leave the run folder.
pub const CHECKPOINT: ManifestHead = ManifestHead { format: "scaleot-importance-checkpoint", version: 2 };
const PLUGIN_STATE: &str = "plugin.state";
const REPLACER_STATE: &str = "replacer.state";
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
    phase: Phase,
    curves: Curves,
    substitutes: Vec<Substitute<String>>,
    mixture: Option<MixtureState>,
}

/// Curves and checkpoints of one stage.
pub struct Keeper<'a> {
    store: Checkpoints<'a>,
    every: u64,
    marks: u64,
    /// The last mark that is not written yet, and how far the stage was then.
    pending: Option<((u64, usize), Vec<u8>)>,
    /// The mark of the newest checkpoint.
    written: Option<u64>,
    phase: Phase,
    /// The replacer's state once it is done; an objective of its own may depend on it.
    replacer_state: Vec<u8>,
    /// The curves so far.
    pub curves: Curves,
}

/// A stage taken up again.
pub struct Restored {
    /// Who was at work.
    pub phase: Phase,
    /// That plugin's state.
    pub plugin_state: Vec<u8>,
    /// The replacer's, where it is done.
    pub replacer_state: Vec<u8>,
    /// The substitutes of the checkpoint.
    pub substitutes: Vec<Substitute<Tensor>>,
    /// The rest that the mixture goes on from; the moments' file only where something trains.
    pub mixture: Option<(MixtureState, Option<TensorFile>)>,
}

impl<'a> Keeper<'a> {
    /// Keeps in `store`, every `every` marks.
    pub fn new(store: Checkpoints<'a>, every: u64) -> Self {
        let (curves, phase, replacer_state) = (Curves::default(), Phase::Prepare, Vec::new());
        Self { store, every: every.max(1), marks: 0, pending: None, written: None, phase, replacer_state, curves }
    }

    /// The estimator is at work from here; a mark of the replacer before is forgotten.
    pub fn begin_estimate(&mut self, replacer_state: Vec<u8>) {
        (self.phase, self.pending, self.replacer_state) = (Phase::Estimate, None, replacer_state);
    }

    /// The mark that a stopped stage goes on from, if there is one.
    pub fn written(&self) -> Option<u64> {
        self.written
    }

    /// The newest whole checkpoint of the same inputs; what was passed over is told to `log`.
    ///
    /// # Errors
    /// A checkpoint that cannot be read although its digests are right.
    pub fn latest(&mut self, log: &mut dyn FnMut(&str)) -> Result<Option<Restored>, StageError> {
        let latest = self.store.latest()?;
        latest.passed_over().iter().for_each(|told| log(told));
        let Some((marks, folder)) = latest.found else { return Ok(None) };
        let body: Body = Checkpoints::state(&folder)?;
        log(&format!("continuing from the checkpoint at step {marks}"));
        let open = |name: &str| -> Result<Option<TensorFile>, StageError> {
            if folder.has(name) { Ok(Some(TensorFile::open(&folder.file(name)?)?)) } else { Ok(None) }
        };
        let file = open(SUBSTITUTES)?;
        let substitutes = body.substitutes.into_iter().map(|substitute| with_tensors(substitute, file.as_ref()));
        let substitutes = substitutes.collect::<Result<Vec<_>, _>>()?;
        let moments = open(OPTIMISERS)?;
        let mixture = body.mixture.map(|state| (state, moments));
        (self.marks, self.phase, self.curves) = (marks, body.phase, body.curves);
        self.written = Some(marks);
        let (plugin_state, replacer_state) = (bytes(&folder, PLUGIN_STATE)?, bytes(&folder, REPLACER_STATE)?);
        Ok(Some(Restored { phase: self.phase, plugin_state, replacer_state, substitutes, mixture }))
    }

    /// A plugin marks a point; it is written when its turn has come.
    ///
    /// # Errors
    /// A full disk.
    pub fn mark(&mut self, state: Vec<u8>, mixture: Option<&Mixture>) -> Result<(), StageError> {
        self.marks += 1;
        self.pending = Some((self.moved(mixture), state));
        if self.marks.is_multiple_of(self.every) { self.flush(mixture) } else { Ok(()) }
    }

    /// Writes the last mark, unless it is written already or the stage has moved on since.
    ///
    /// # Errors
    /// A full disk.
    pub fn flush(&mut self, mixture: Option<&Mixture>) -> Result<(), StageError> {
        match self.pending.take() {
            Some((at, state)) if at == self.moved(mixture) => self.write(&state, mixture),
            _ => Ok(()),
        }
    }

    fn write(&mut self, plugin_state: &[u8], mixture: Option<&Mixture>) -> Result<(), StageError> {
        let (mut described, mut tensors) = (Vec::new(), Vec::new());
        for (layer, substitute) in mixture.map_or(&[][..], Mixture::substitutes).iter().enumerate() {
            let (names, mut own) = named(substitute, &format!("layers.{layer}"));
            described.push(names);
            tensors.append(&mut own);
        }
        let (state, moments) = mixture.map(Mixture::state).unzip();
        let curves = self.curves.clone();
        let body = Body { phase: self.phase, curves, substitutes: described, mixture: state };
        let moments = moments.unwrap_or_default();
        self.store.save(self.marks, &body, |stage| {
            stage.write_bytes(PLUGIN_STATE, plugin_state)?;
            stage.write_bytes(REPLACER_STATE, &self.replacer_state)?;
            put(stage, SUBSTITUTES, &tensors)?;
            put(stage, OPTIMISERS, &moments)
        })?;
        self.written = Some(self.marks);
        Ok(())
    }

    /// Removes the checkpoints of a finished stage.
    ///
    /// # Errors
    /// A folder that cannot be removed.
    pub fn clear(&self) -> Result<(), StageError> {
        Ok(self.store.clear()?)
    }

    /// The place of the stage: batches seen, and points of curves.
    fn moved(&self, mixture: Option<&Mixture>) -> (u64, usize) {
        (mixture.map_or(0, Mixture::batches_seen), self.curves.points())
    }
}

/// Writes tensors, if there are any.
fn put(stage: &mut StageDir, name: &str, tensors: &[(String, Tensor)]) -> Result<(), StageError> {
    if tensors.is_empty() { Ok(()) } else { write_tensors(stage, name, tensors) }
}

fn bytes(folder: &VerifiedFolder, name: &str) -> Result<Vec<u8>, StageError> {
    let path = folder.file(name)?;
    Ok(std::fs::read(&path).map_err(|source| StoreError::read(&path, source))?)
}
