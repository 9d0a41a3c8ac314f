//! SIGINT and SIGTERM: the first asks the stage to stop at its next step, the second ends the program at once.

use super::output::say;
use host::fault::ExitCode;
use host::pipeline::progress::request_stop;
use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Installs the handler. It runs on a thread of its own, so it may print.
pub fn install() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::SeqCst) {
            // SAFETY: ends the process without running destructors of a libtorch that still computes on other threads;
            // nothing on disk depends on them, since files appear by rename alone.
            unsafe { libc::_exit(i32::from(ExitCode::Interrupted as u8)) }
        }
        request_stop();
        say("stopping after this step; a second signal stops at once");
    })?;
    Ok(())
}
