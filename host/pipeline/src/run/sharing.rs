//! A stage that is finished already: by this run, or by another run of the same stage pool.
//!
//! A run that finds a stage in neither place claims it, so that runs side by side wait for one another instead of
//! computing the same twice; `measured` gives the result to the pool and ends the claim.

use super::core::RunCore;
use super::costs::Cost;
use crate::error::StageError;
use crate::progress::{Progress, stop_requested};
use crate::stage::{Stage, StageFolder};
use scaleot_store::{Manifest, StagePool, VerifiedFolder};
use serde_json::Value;
use std::time::Duration;

/// Between two looks at a stage that another run is making.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl RunCore {
    /// Shares finished stages with the other runs of a pool.
    pub fn share(&mut self, pool: StagePool) {
        self.pool = Some(pool);
    }

    /// The artefact of a stage if it was made from the same inputs. Where it was not, the stage is this run's to make.
    pub(crate) fn up_to_date(
        &mut self,
        stage: Stage,
        inputs: &str,
        progress: &mut dyn Progress,
    ) -> Result<Option<VerifiedFolder>, StageError> {
        self.claim = None;
        let (label, record) = (stage.label(), stage.record());
        if let Some(done) = self.completed(record)?.filter(|folder| made_from(folder.manifest(), inputs)) {
            if let Some(pool) = &self.pool {
                pool.give(&self.dir, record.name, inputs)?;
            }
            progress.log(&format!("{}: up to date", label));
            return Ok(Some(done));
        }
        let Some(pool) = &self.pool else { return Ok(None) };
        let mut waits = false;
        let claim = loop {
            if let Some(claim) = pool.claim(record.name, inputs)? {
                break claim;
            }
            if stop_requested() {
                return Err(StageError::Interrupted { stage: "the wait for another run", step: 0 });
            }
            if !waits {
                progress.log(&format!("{}: another run is making it", label));
                waits = true;
            }
            std::thread::sleep(LOOK_EVERY);
        };
        let taken = self.take(record, inputs, progress)?;
        if taken.is_some() {
            // What the stage cost stands where it was made.
            self.costs.0.remove(label);
            progress.log(&format!("{}: shared", label));
        } else {
            self.claim = Some(claim);
        }
        Ok(taken)
    }

    /// A stage of the pool, put into the run folder.
    pub(crate) fn take(
        &self,
        folder: StageFolder,
        inputs: &str,
        progress: &mut dyn Progress,
    ) -> Result<Option<VerifiedFolder>, StageError> {
        let Some(pool) = &self.pool else { return Ok(None) };
        let mut damaged = Vec::new();
        let taken = pool.take(&self.dir, folder.name, folder.head, inputs, &mut damaged)?;
        damaged.iter().for_each(|fault| progress.log(&format!("a damaged stage of the pool is removed: {fault}")));
        Ok(taken)
    }

    /// Gives the result of a stage that was just made to the pool.
    pub(crate) fn give(&self, stage: Stage, inputs: &str) -> Result<(), StageError> {
        match &self.pool {
            Some(pool) => Ok(pool.give(&self.dir, stage.folder().name, inputs)?),
            None => Ok(()),
        }
    }

    /// Ends the claim of a stage that was just made.
    pub(super) fn conclude(&mut self, cost: Cost) -> Result<(), StageError> {
        let (Some(pool), Some(claim)) = (&self.pool, self.claim.take()) else { return Ok(()) };
        cost.note(pool, claim.stage(), claim.inputs())?;
        Ok(pool.give(&self.dir, claim.stage(), claim.inputs())?)
    }
}

/// True where an artefact says that it was made from these inputs.
fn made_from(manifest: &Manifest, inputs: &str) -> bool {
    manifest.body.get("inputs").and_then(Value::as_str) == Some(inputs)
}
