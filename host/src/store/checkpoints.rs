//! The last two checkpoints of a stage that takes long.
//!
//! Rule (`reliability`, section 5.1): a new checkpoint is read back and verified before an older one goes,
//! so a kill at any moment loses at most one interval. A checkpoint never leaves the run folder: it is no export.

use std::fs;

use serde::Serialize;

use super::error::StoreError;
use super::manifest::ManifestHead;
use super::run_dir::{RunDir, remove};
use super::stage_dir::StageDir;
use super::step::Step;
use super::verified::VerifiedFolder;

/// How many checkpoints are kept.
const KEPT: usize = 2;

/// The checkpoints of one stage, as folders `<stage>-checkpoint-<step>` of the run folder.
#[derive(Debug)]
pub struct Checkpoints<'r> {
    run: &'r RunDir,
    prefix: String,
    head: ManifestHead,
}

impl<'r> Checkpoints<'r> {
    /// The checkpoints of `stage`, written and read as `head` says.
    pub fn new(run: &'r RunDir, stage: &str, head: ManifestHead) -> Self {
        Self { run, prefix: format!("{stage}-checkpoint-"), head }
    }

    /// Saves the state after `step`, then drops all but the last two checkpoints.
    pub fn save(
        &self,
        step: u64,
        body: &impl Serialize,
        fill: impl FnOnce(&mut StageDir) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut folder = self.run.stage(&self.name(step))?;
        fill(&mut folder)?;
        folder.commit(self.head, body)?;
        self.prune()
    }

    /// The newest checkpoint that is whole, with its step; a damaged one is passed over and told in `damaged`.
    pub fn latest(&self, damaged: &mut Vec<StoreError>) -> Result<Option<(u64, VerifiedFolder)>, StoreError> {
        for step in self.steps()?.into_iter().rev() {
            match self.run.completed(&self.name(step), self.head) {
                Ok(Some(folder)) => return Ok(Some((step, folder))),
                Ok(None) => {}
                Err(error) => damaged.push(error),
            }
        }
        Ok(None)
    }

    /// Removes all checkpoints, once the stage itself is committed.
    pub fn clear(&self) -> Result<(), StoreError> {
        self.steps()?.into_iter().try_for_each(|step| self.remove(step))
    }

    fn prune(&self) -> Result<(), StoreError> {
        let steps = self.steps()?;
        let surplus = steps.len().saturating_sub(KEPT);
        steps.into_iter().take(surplus).try_for_each(|step| self.remove(step))
    }

    fn remove(&self, step: u64) -> Result<(), StoreError> {
        let path = self.run.path().join(self.name(step));
        remove(&path).map_err(|source| StoreError::commit(&path, Step::Prune, source, 0))
    }

    /// The steps that have a folder, in ascending order.
    fn steps(&self) -> Result<Vec<u64>, StoreError> {
        let unreadable = |source| StoreError::read(self.run.path(), source);
        let mut steps = Vec::new();
        for entry in fs::read_dir(self.run.path()).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            let step = name.to_str().and_then(|name| name.strip_prefix(&self.prefix));
            steps.extend(step.and_then(|step| step.parse::<u64>().ok()));
        }
        steps.sort_unstable();
        Ok(steps)
    }

    fn name(&self, step: u64) -> String {
        format!("{}{step:010}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: ManifestHead = ManifestHead { format: "test/checkpoint", version: 1 };

    fn save(checkpoints: &Checkpoints<'_>, step: u64) {
        checkpoints.save(step, &step, |folder| folder.write_bytes("state.bin", &step.to_le_bytes())).unwrap();
    }

    #[test]
    fn two_are_kept_and_a_damaged_one_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::open(&root.path().join("run"), None).unwrap();
        let checkpoints = Checkpoints::new(&run, "tune", HEAD);
        let mut damaged = Vec::new();
        assert!(checkpoints.latest(&mut damaged).unwrap().is_none());
        [5, 10, 15].into_iter().for_each(|step| save(&checkpoints, step));
        assert_eq!(checkpoints.steps().unwrap(), [10, 15]);
        let (step, folder) = checkpoints.latest(&mut damaged).unwrap().unwrap();
        assert_eq!((step, folder.body::<u64>().unwrap()), (15, 15));

        fs::write(folder.path().join("state.bin"), [1; 8]).unwrap();
        assert_eq!(checkpoints.latest(&mut damaged).unwrap().unwrap().0, 10);
        assert!(damaged.first().unwrap().to_string().contains("tune-checkpoint-0000000015/state.bin: found SHA-256"));

        checkpoints.clear().unwrap();
        assert!(checkpoints.steps().unwrap().is_empty());
    }
}
