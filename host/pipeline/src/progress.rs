//! Progress of a stage, and the person's request to stop. The program draws the one and hears the other; tests ignore both.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);
/// The number of looks of a stage, and the look from which on it is asked to stop.
static LOOKS: AtomicU64 = AtomicU64::new(0);
static STOP_AT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Asks the running stage to stop at its next step. Safe to call from a signal handler.
pub fn request_stop() {
    STOP.store(true, Ordering::Relaxed);
}

/// Asks the running stage to stop when it looks for the `look`-th time, counted from 1: for tests, which need the same place
/// every time.
pub fn request_stop_at(look: u64) {
    STOP_AT.store(look, Ordering::Relaxed);
}

/// True once somebody asked to stop.
pub fn stop_requested() -> bool {
    let looks = LOOKS.fetch_add(1, Ordering::Relaxed) + 1;
    STOP.load(Ordering::Relaxed) || looks >= STOP_AT.load(Ordering::Relaxed)
}

/// A receiver of a stage's progress.
pub trait Progress {
    /// A piece of work begins; `total` units if known.
    fn begin(&mut self, what: &str, total: u64);
    /// The work done so far; `note` is a few words, such as the loss.
    fn at(&mut self, done: u64, note: &str);
    /// The piece of work is done; `note` is a sentence for the log.
    fn end(&mut self, note: &str);
    /// A sentence for the log, at any time.
    fn log(&mut self, message: &str);
}

/// Says nothing.
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: &str, _: u64) {}
    fn at(&mut self, _: u64, _: &str) {}
    fn end(&mut self, _: &str) {}
    fn log(&mut self, _: &str) {}
}
