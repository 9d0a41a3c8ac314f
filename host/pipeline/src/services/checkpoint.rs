//! Curves and checkpoints of an importance stage.
//!
//! A plugin marks a point with its own state; the substitutes, both optimisers and the text counters go with it, so that a
//! stage stopped at any step continues bit by bit. Points are written every so many marks, and when the person asks to stop.

use crate::artefacts::{Curves, Resumed, TensorFile, named, with_tensors, write_tensors};
use crate::error::StageError;
use crate::mixture::{Mixture, MixtureState};
use scaleot_plugin_api::Substitute;
use scaleot_store::{Checkpoints, ManifestHead, StageDir};
use scaleot_tensor::Tensor;
use serde::{Deserialize, Serialize};

/// The format of the stage's checkpoints, which never leave the run folder.
pub const IMPORTANCE_CHECKPOINT: ManifestHead = ManifestHead { format: "scaleot-importance-checkpoint", version: 2 };
const PLUGIN_STATE: &str = "plugin.state";
const REPLACER_STATE: &str = "replacer.state";
const SUBSTITUTES: &str = "substitutes.safetensors";
const OPTIMISERS: &str = "optimisers.safetensors";

/// The plugin at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The replacer prepares its substitutes.
    Prepare,
    /// The estimator scores.
    Estimate,
}

/// The state of a checkpoint beside its tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    phase: Phase,
    curves: Curves,
    substitutes: Vec<Substitute<String>>,
    mixture: Option<MixtureState>,
}

/// Curves and checkpoints of one stage.
pub struct EstimatorCheckpoints<'a> {
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
    /// The plugin that was at work.
    pub phase: Phase,
    /// That plugin's state.
    pub plugin_state: Vec<u8>,
    /// The replacer's, where it is done.
    pub replacer_state: Vec<u8>,
    /// The substitutes of the checkpoint.
    pub substitutes: Vec<Substitute<Tensor>>,
    /// The rest of the mixture's state; the moments' file only where something trains.
    pub mixture: Option<(MixtureState, Option<TensorFile>)>,
}

impl<'a> EstimatorCheckpoints<'a> {
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

    /// The newest whole checkpoint of the same inputs; `log` hears of those that do not count.
    ///
    /// # Errors
    /// A checkpoint that cannot be read although its digests are right.
    pub fn latest(&mut self, log: &mut dyn FnMut(&str)) -> Result<Option<Restored>, StageError> {
        let Some(resumed) = Resumed::<Body>::latest(&self.store, log)? else { return Ok(None) };
        let file = resumed.tensors_if_any(SUBSTITUTES)?;
        let moments = resumed.tensors_if_any(OPTIMISERS)?;
        let (plugin_state, replacer_state) = (resumed.bytes(PLUGIN_STATE)?, resumed.bytes(REPLACER_STATE)?);
        let (marks, Body { phase, curves, substitutes, mixture }) = (resumed.step, resumed.state);
        let substitutes = substitutes.into_iter().map(|substitute| with_tensors(substitute, file.as_ref()));
        let substitutes = substitutes.collect::<Result<Vec<_>, _>>()?;
        let mixture = mixture.map(|state| (state, moments));
        (self.marks, self.written, self.phase, self.curves) = (marks, Some(marks), phase, curves);
        Ok(Some(Restored { phase, plugin_state, replacer_state, substitutes, mixture }))
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
