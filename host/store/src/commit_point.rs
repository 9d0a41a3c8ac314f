//! The named points of the commit protocol.
//!
//! Every file operation of a commit passes one of them, so an error says how far the commit came,
//! and the tests can fail the N-th operation for every N until a commit succeeds unharmed.

use std::fmt;
use std::io;

/// One step of making an artefact visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommitPoint {
    Lock,
    MakeTemp,
    Write,
    Flush,
    Sync,
    Verify,
    Rename,
    SyncFolder,
    ManifestWrite,
    ManifestRename,
    Prune,
    Unlock,
}

impl CommitPoint {
    /// All steps, in the order of a commit.
    pub const ALL: [Self; 12] = [
        Self::Lock,
        Self::MakeTemp,
        Self::Write,
        Self::Flush,
        Self::Sync,
        Self::Verify,
        Self::Rename,
        Self::SyncFolder,
        Self::ManifestWrite,
        Self::ManifestRename,
        Self::Prune,
        Self::Unlock,
    ];

    /// The point's name in messages and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lock => "store.lock",
            Self::MakeTemp => "store.mktemp",
            Self::Write => "store.write",
            Self::Flush => "store.flush",
            Self::Sync => "store.sync",
            Self::Verify => "store.verify",
            Self::Rename => "store.rename",
            Self::SyncFolder => "store.dirsync",
            Self::ManifestWrite => "store.manifest.write",
            Self::ManifestRename => "store.manifest.rename",
            Self::Prune => "store.prune",
            Self::Unlock => "store.unlock",
        }
    }

    /// Passes the point; does nothing outside this crate's unit tests.
    #[cfg(not(test))]
    #[inline]
    pub(super) fn pass(self) -> io::Result<()> {
        Ok(())
    }

    /// Passes the point, or fails there as the test in progress asked.
    #[cfg(test)]
    pub(super) fn pass(self) -> io::Result<()> {
        injection::pass(self)
    }
}

impl fmt::Display for CommitPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Fault injection for unit tests: per thread, so that tests stay independent.
#[cfg(test)]
pub(super) mod injection {
    use super::{CommitPoint, io};
    use std::cell::RefCell;

    struct Plan {
        passed: usize,
        fail_at: usize,
        kind: io::ErrorKind,
        hit: Option<CommitPoint>,
    }

    thread_local! {
        static PLAN: RefCell<Option<Plan>> = const { RefCell::new(None) };
    }

    /// Runs `body` with the `n`-th point (from 0) failing; gives its result and the point hit.
    pub(crate) fn failing<T>(n: usize, kind: io::ErrorKind, body: impl FnOnce() -> T) -> (T, Option<CommitPoint>) {
        PLAN.set(Some(Plan { passed: 0, fail_at: n, kind, hit: None }));
        let result = body();
        (result, PLAN.take().and_then(|plan| plan.hit))
    }

    pub(super) fn pass(step: CommitPoint) -> io::Result<()> {
        PLAN.with_borrow_mut(|plan| {
            let Some(plan) = plan else { return Ok(()) };
            let here = plan.passed;
            plan.passed += 1;
            if here == plan.fail_at {
                plan.hit = Some(step);
                return Err(plan.kind.into());
            }
            Ok(())
        })
    }
}
