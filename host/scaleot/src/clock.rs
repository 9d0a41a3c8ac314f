//! The age of this process: the time that a person waits, not that which a timer inside sees.

use std::sync::OnceLock;
use std::time::Instant;

/// `USER_HZ`, which Linux fixes at 100 for every program.
const TICKS_PER_SECOND: f64 = 100.0;

static MAIN: OnceLock<Instant> = OnceLock::new();

/// Called by `main`.
pub fn start() {
    MAIN.get_or_init(Instant::now);
}

/// Seconds since the process was started, loading of libraries included.
pub fn since_process_start() -> f64 {
    let since_main = MAIN.get_or_init(Instant::now).elapsed().as_secs_f64();
    // A sandbox may give figures that do not fit together; the time since `main` is then the better one.
    match uptime().zip(started()).map(|(now, started)| now - started) {
        Some(seconds) if (since_main..since_main + 60.0).contains(&seconds) => seconds,
        _ => since_main,
    }
}

/// Seconds from boot to now.
fn uptime() -> Option<f64> {
    std::fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()
}

/// Seconds from boot to the start of this process: field 22, counted after the name, which may hold spaces.
fn started() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let ticks: f64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    Some(ticks / TICKS_PER_SECOND)
}
