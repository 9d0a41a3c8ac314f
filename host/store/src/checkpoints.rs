//! The last two checkpoints of a stage that takes long.
//!
//! Rule: a new checkpoint is read back and verified before an older one goes,
//! so a kill at any moment loses at most one interval. A checkpoint never leaves the run folder: it is no export.
//! Checkpoints of other inputs never count, whatever their steps: they go when the first of the present run is safe.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;

use serde::{Deserialize, Serialize};

use super::commit_point::CommitPoint;
use super::error::StoreError;
use super::folder::remove;
use super::manifest::ManifestHead;
use super::run_dir::RunDir;
use super::stage_dir::StageDir;
use super::verified::VerifiedFolder;

/// Number of checkpoints that are kept.
const KEPT: usize = 2;

/// The checkpoints of one stage, as folders `<stage>-checkpoint-<step>` of the run folder.
#[derive(Debug)]
pub struct Checkpoints<'r> {
    run: &'r RunDir,
    prefix: String,
    head: ManifestHead,
    inputs: String,
    /// Steps whose checkpoints were made from `inputs`, as far as they were looked at.
    own: RefCell<BTreeSet<u64>>,
}

/// The manifest's body: what the checkpoint was made from, and what the stage keeps.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<T> {
    inputs: String,
    state: T,
}

/// The part of a body that every stage's checkpoints have.
#[derive(Deserialize)]
struct Origin {
    inputs: String,
}

/// The result of [`Checkpoints::latest`].
#[derive(Debug, Default)]
pub struct Latest {
    /// The newest checkpoint of the same inputs that is whole, with its step.
    pub found: Option<(u64, VerifiedFolder)>,
    /// Newer ones that are not whole.
    pub damaged: Vec<StoreError>,
    /// True where there are any of other inputs.
    pub others: bool,
}

impl Latest {
    /// A sentence for everything that does not count.
    #[must_use]
    pub fn passed_over(&self) -> Vec<String> {
        let damaged = self.damaged.iter().map(|fault| format!("a damaged checkpoint is left aside: {fault}"));
        let others = "the config or its inputs changed: the checkpoint of the earlier run is not used, and goes when this run has \
                      one of its own";
        damaged.chain(self.others.then(|| others.to_owned())).collect()
    }
}

impl<'r> Checkpoints<'r> {
    /// The checkpoints of `stage`, written and read as `head` says; `inputs` is the digest of all that the stage depends on.
    pub fn new(run: &'r RunDir, stage: &str, head: ManifestHead, inputs: &str) -> Self {
        let (prefix, inputs) = (format!("{stage}-checkpoint-"), inputs.to_owned());
        Self { run, prefix, head, inputs, own: RefCell::default() }
    }

    /// Saves the state after `step`, then drops all but the last two checkpoints of these inputs. When `fill` fails, nothing
    /// becomes visible and nothing is dropped.
    ///
    /// # Errors
    /// The error that `fill` returned, or a full disk.
    pub fn save<E: From<StoreError>>(
        &self,
        step: u64,
        state: &impl Serialize,
        fill: impl FnOnce(&mut StageDir) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut folder = self.run.stage(&self.name(step))?;
        fill(&mut folder)?;
        folder.commit(self.head, &Body { inputs: self.inputs.clone(), state })?;
        self.own.borrow_mut().insert(step);
        Ok(self.prune()?)
    }

    /// The newest checkpoint of the same inputs that is whole; what was passed over is told.
    ///
    /// # Errors
    /// A run folder that cannot be listed.
    pub fn latest(&self) -> Result<Latest, StoreError> {
        let mut latest = Latest::default();
        for step in self.steps()?.into_iter().rev() {
            let folder = match self.run.completed(&self.name(step), self.head) {
                Ok(Some(folder)) => folder,
                Ok(None) => continue,
                Err(error) => {
                    latest.damaged.push(error);
                    continue;
                }
            };
            match folder.body::<Origin>() {
                Ok(origin) if origin.inputs == self.inputs => {
                    self.own.borrow_mut().insert(step);
                    latest.found.get_or_insert((step, folder));
                }
                Ok(_) => latest.others = true,
                Err(error) => latest.damaged.push(error),
            }
        }
        Ok(latest)
    }

    /// The body that [`save`](Self::save) was given.
    ///
    /// # Errors
    /// A body of another shape.
    pub fn state<T: serde::de::DeserializeOwned>(folder: &VerifiedFolder) -> Result<T, StoreError> {
        Ok(folder.body::<Body<T>>()?.state)
    }

    /// Removes all checkpoints, once the stage itself is committed.
    ///
    /// # Errors
    /// A folder that cannot be removed.
    pub fn clear(&self) -> Result<(), StoreError> {
        self.steps()?.into_iter().try_for_each(|step| self.remove(step))
    }

    /// Leaves the last two of these inputs.
    fn prune(&self) -> Result<(), StoreError> {
        let mut own = self.own.borrow_mut();
        while own.len() > KEPT {
            own.pop_first();
        }
        self.steps()?.into_iter().filter(|step| !own.contains(step)).try_for_each(|step| self.remove(step))
    }

    fn remove(&self, step: u64) -> Result<(), StoreError> {
        let path = self.run.path().join(self.name(step));
        remove(&path).map_err(|source| StoreError::commit(&path, CommitPoint::Prune, source, 0))
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

    fn open(root: &tempfile::TempDir) -> RunDir {
        RunDir::open(&root.path().join("run"), None).unwrap()
    }

    fn save(checkpoints: &Checkpoints<'_>, step: u64) {
        let fill = |folder: &mut StageDir| folder.write_bytes("state.bin", &step.to_le_bytes());
        checkpoints.save::<StoreError>(step, &step, fill).unwrap();
    }

    #[test]
    fn two_are_kept_and_a_damaged_one_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let run = open(&root);
        let checkpoints = Checkpoints::new(&run, "tune", HEAD, "a");
        assert!(checkpoints.latest().unwrap().found.is_none());
        [5, 10, 15].into_iter().for_each(|step| save(&checkpoints, step));
        assert_eq!(checkpoints.steps().unwrap(), [10, 15]);
        let (step, folder) = checkpoints.latest().unwrap().found.unwrap();
        assert_eq!((step, Checkpoints::state::<u64>(&folder).unwrap()), (15, 15));

        fs::write(folder.path().join("state.bin"), [1; 8]).unwrap();
        let latest = checkpoints.latest().unwrap();
        assert_eq!(latest.found.unwrap().0, 10);
        let damaged = latest.damaged.first().unwrap().to_string();
        assert!(damaged.contains("tune-checkpoint-0000000015/state.bin: found SHA-256"), "{damaged}");

        checkpoints.clear().unwrap();
        assert!(checkpoints.steps().unwrap().is_empty());
    }

    /// Leftovers of a longer run have higher steps than anything that the present run writes.
    #[test]
    fn those_of_other_inputs_neither_count_nor_displace() {
        let root = tempfile::tempdir().unwrap();
        let run = open(&root);
        [33, 36].into_iter().for_each(|step| save(&Checkpoints::new(&run, "tune", HEAD, "a"), step));
        let present = Checkpoints::new(&run, "tune", HEAD, "b");
        let latest = present.latest().unwrap();
        assert!(latest.found.is_none() && latest.others);
        // Until a checkpoint of its own is safe, the earlier run can still be gone back to.
        assert_eq!(Checkpoints::new(&run, "tune", HEAD, "a").latest().unwrap().found.unwrap().0, 36);
        save(&present, 3);
        assert_eq!(present.steps().unwrap(), [3]);
        [6, 9].into_iter().for_each(|step| save(&present, step));
        assert_eq!(present.steps().unwrap(), [6, 9]);
        // A later process of the same run counts what it finds.
        let later = Checkpoints::new(&run, "tune", HEAD, "b");
        assert_eq!(later.latest().unwrap().found.unwrap().0, 9);
        save(&later, 12);
        assert_eq!(later.steps().unwrap(), [9, 12]);
    }

    #[test]
    fn what_could_not_be_filled_is_not_there() {
        let root = tempfile::tempdir().unwrap();
        let run = open(&root);
        let checkpoints = Checkpoints::new(&run, "tune", HEAD, "a");
        [1, 2].into_iter().for_each(|step| save(&checkpoints, step));
        let full = || StoreError::read(std::path::Path::new("x"), std::io::Error::other("no space"));
        assert!(checkpoints.save(3, &3, |_| Err(full())).is_err());
        assert_eq!(checkpoints.steps().unwrap(), [1, 2]);
    }
}
