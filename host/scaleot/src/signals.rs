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

/// The signals that ask for a stop; ctrlc answers a hangup, too.
const STOPS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Lets the calling thread and those that it starts hear the signals, whatever mask the program was started with. Call first in
/// `main`: a suite's cells inherit the mask of the suite.
pub fn hear() {
    mask(libc::SIG_UNBLOCK);
}

/// Changes the mask of the calling thread, which the threads that it starts inherit.
fn mask(change: libc::c_int) {
    // SAFETY: the set is made by `sigemptyset` before it is read; the calls cannot fail with these numbers.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in STOPS {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::pthread_sigmask(change, &raw const set, std::ptr::null_mut());
    }
}

/// Installs the handler. It runs on a thread of its own, so it may print. From here on only that thread hears the signals: on
/// another the handler would run on the stack of whatever kernel it interrupts. As long as it did, about one stopped run in
/// three hundred died of a damaged heap; that this was the cause is likely, not proven.
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
    mask(libc::SIG_BLOCK);
    Ok(())
}
