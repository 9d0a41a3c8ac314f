//! The lock of a run folder: one process that writes, or any number that read.
//!
//! Rule: the lock is the kernel's (`flock` on `.lock`), so a holder that dies lets go however it dies; the process id
//! written inside is only for the message. The file itself is never removed, since two processes could then hold two files of one name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::commit_point::CommitPoint;
use super::error::StoreError;
use crate::escape::escape_to;

/// The lock file's name in a run folder.
pub(super) const LOCK_NAME: &str = ".lock";

/// Time that a killed holder may take to go: it has its memory to give back first.
const LAST_BREATH: Duration = Duration::from_secs(5);

/// A held lock; letting it go is dropping it.
#[derive(Debug)]
pub(crate) struct RunLock {
    file: File,
    taken_over_from: Option<String>,
}

impl RunLock {
    /// Takes the lock of `folder`, or says who holds it.
    pub(crate) fn take(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(LOCK_NAME);
        let fault = |source| StoreError::commit(&path, CommitPoint::Lock, source, 0);
        let mut file = open(&path).map_err(fault)?;
        match wait_for(&mut file, File::try_lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(locked(folder, &mut file)),
            Err(TryLockError::Error(source)) => return Err(fault(source)),
        }
        let taken_over_from = read_holder(&mut file);
        write_holder(&mut file).map_err(fault)?;
        Ok(Self { file, taken_over_from })
    }

    /// Keeps writers out of `folder` while it is read, or says who writes there. Nothing is written: where there is no lock file,
    /// or none that can be opened or locked (an archive, another user's folder), nobody can be kept out, and `None` is no error.
    pub(crate) fn share(folder: &Path) -> Result<Option<Self>, StoreError> {
        let Ok(mut file) = File::open(folder.join(LOCK_NAME)) else { return Ok(None) };
        match wait_for(&mut file, File::try_lock_shared) {
            Ok(()) => Ok(Some(Self { file, taken_over_from: None })),
            Err(TryLockError::WouldBlock) => Err(locked(folder, &mut file)),
            Err(TryLockError::Error(_)) => Ok(None),
        }
    }

    /// The holder that died without letting go, if any: its unfinished files are the new holder's to remove.
    pub(crate) fn taken_over_from(&self) -> Option<&str> {
        self.taken_over_from.as_deref()
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // An empty file says that the holder left in order; a reader cannot write, and has left nothing there. On any error the
        // kernel still frees the lock.
        let _ = CommitPoint::Unlock.pass().and_then(|()| self.file.set_len(0));
        let _ = self.file.unlock();
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    CommitPoint::Lock.pass()?;
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn locked(folder: &Path, file: &mut File) -> StoreError {
    let holder = read_holder(file).unwrap_or_else(|| "another process".to_owned());
    StoreError::Locked { path: folder.to_path_buf(), holder }
}

/// Takes the lock, and waits a little for a holder that was killed and is on its way out.
fn wait_for(file: &mut File, lock: fn(&File) -> Result<(), TryLockError>) -> Result<(), TryLockError> {
    let began = Instant::now();
    loop {
        match lock(file) {
            Err(TryLockError::WouldBlock) if began.elapsed() < LAST_BREATH && holder_is_dying(file) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            outcome => return outcome,
        }
    }
}

/// True if the holder has a kill pending, or no memory any more: the kernel frees its lock last.
fn holder_is_dying(file: &mut File) -> bool {
    const KILL: u64 = 1 << (libc::SIGKILL - 1);
    let Some(id) = read_holder(file).and_then(|text| text.strip_prefix("process ")?.parse::<u32>().ok()) else {
        return false;
    };
    let Ok(status) = std::fs::read_to_string(format!("/proc/{id}/status")) else { return true };
    let value = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let pending = |key: &str| value(key).and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0) & KILL != 0;
    value("VmRSS:").is_none() || pending("SigPnd:") || pending("ShdPnd:")
}

/// Text that the holder wrote about itself; it may be about to write it, so an empty file is no error.
fn read_holder(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(200).read_to_string(&mut text).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| escape_to(text, 100))
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "process {}", std::process::id())?;
    file.sync_all()
}
