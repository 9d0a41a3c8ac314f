//! SIGINT and SIGTERM: the first asks the stage to stop at its next step, the second ends the program at once.

use super::failure::{ProgramError, VerbResult};
use super::output::say;
use scaleot_pipeline::progress::{request_stop, request_stop_at};
use scaleot_plugins::isolation::active_call;
use scaleot_store::exit_code::ExitCode;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A watched worker hears a signal to the whole group twice, from the sender and from its watcher: that is one request.
const ONE_REQUEST: Duration = Duration::from_millis(300);

static ASKED: OnceLock<Instant> = OnceLock::new();

/// A number of looks: the program's own tests stop a stage at the same place every time with it.
const STOP_AT: &str = "SCALEOT_TEST_STOP_AT";

/// Installs the handler. It runs on a thread of its own, so it may print.
pub fn install() -> VerbResult<()> {
    if let Some(look) = std::env::var(STOP_AT).ok().and_then(|look| look.parse().ok()) {
        request_stop_at(look);
    }
    ctrlc::set_handler(|| {
        if let Some(first) = ASKED.get() {
            if first.elapsed() < ONE_REQUEST {
                return;
            }
            active_call::conclude(ExitCode::Interrupted as u8);
            // SAFETY: ends the process without running destructors of a libtorch that still computes on other threads;
            // nothing on disk depends on them, since files appear by rename alone.
            unsafe { libc::_exit(i32::from(ExitCode::Interrupted as u8)) }
        }
        ASKED.get_or_init(Instant::now);
        request_stop();
        say("stopping after this step; a second signal stops at once");
    })
    .map_err(ProgramError::from)?;
    Ok(())
}
