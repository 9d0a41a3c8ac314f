//! Costs of each stage: wall time, peak resident memory, and the peak of memory that is not a mapped file.
//!
//! Kept in `costs.json` at the top of the run folder and nowhere else, so that artefacts depend on inputs alone.
//! Resident peak: `VmHWM`, reset at the start of a stage. Anonymous peak: `RssAnon`, sampled every 2 ms, above its start.

use crate::error::StageError;
use crate::stage::Stage;
use scaleot_store::{RunDir, StagePool};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const FILE: &str = "costs.json";

/// The cost of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Wall time.
    pub seconds: f64,
    /// Largest resident size, mapped files included.
    pub peak_bytes: u64,
    /// Largest anonymous size above what it was at the start.
    pub anonymous_bytes: u64,
}

impl Cost {
    /// The cost of a stage of a pool to the run that made it.
    pub fn noted(pool: &StagePool, stage: &str, inputs: &str) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(pool.note(stage, inputs)).ok()?).ok()
    }

    pub(super) fn note(&self, pool: &StagePool, stage: &str, inputs: &str) -> Result<(), StageError> {
        let mut file = scaleot_store::AtomicFile::create(&pool.note(stage, inputs))?;
        file.put(&serde_json::to_vec(self).unwrap_or_default())?;
        Ok(file.commit().map(drop)?)
    }
}

/// Costs by stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Costs(pub BTreeMap<String, Cost>);

impl Costs {
    /// The record of a run folder; an unreadable one is none.
    pub fn read(run: &Path) -> Self {
        let text = std::fs::read(run.join(FILE)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub(super) fn set(&mut self, stage: Stage, cost: Cost) {
        self.0.insert(stage.label().to_owned(), cost);
    }

    pub(super) fn write(&self, dir: &RunDir) -> Result<(), StageError> {
        let mut file = dir.file(FILE)?;
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        file.put(&text)?;
        Ok(file.commit().map(drop)?)
    }

    /// Wall time of all stages.
    pub fn seconds(&self) -> f64 {
        self.0.values().map(|cost| cost.seconds).sum()
    }

    /// Largest resident size of any stage.
    pub fn peak_bytes(&self) -> u64 {
        self.0.values().map(|cost| cost.peak_bytes).max().unwrap_or(0)
    }
}

/// Measures from its start to its stop.
pub struct Meter {
    started: Instant,
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    base: u64,
    sampler: Option<JoinHandle<()>>,
}

impl Meter {
    /// Starts measuring.
    pub fn start() -> Self {
        // Needs no right beyond our own process; where it fails the peak is that of the whole run.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let base = status("RssAnon:");
        let (stop, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(base)));
        let (seen, done) = (Arc::clone(&peak), Arc::clone(&stop));
        let sampler = std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                seen.fetch_max(status("RssAnon:"), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self { started: Instant::now(), stop, peak, base, sampler: Some(sampler) }
    }

    /// The cost since the start.
    pub fn stop(mut self) -> Cost {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(sampler) = self.sampler.take() {
            let _ = sampler.join();
        }
        Cost {
            seconds: self.started.elapsed().as_secs_f64(),
            peak_bytes: peak_bytes(),
            anonymous_bytes: self.peak.load(Ordering::Relaxed).saturating_sub(self.base),
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The largest resident size of this process so far, in bytes; 0 where the system does not say.
pub fn peak_bytes() -> u64 {
    status("VmHWM:")
}

/// A line of `/proc/self/status` in bytes; 0 where there is none.
fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}
