//! The fork, and the watch over the worker: its end is awaited, signals are passed on, a call that says nothing for too long is ended.

use std::io;
use std::ptr;
use std::time::{Duration, Instant};

use super::active_call::{ActiveCall, Floor, Page};
use scaleot_store::exit_code::ExitCode;

/// Signals that ask to stop; the worker hears them too.
const ASKS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The way in which a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// With this exit status.
    Exited(i32),
    /// By this signal.
    Signal(i32),
    /// By us: a plugin had the floor for so long.
    Silent(Duration),
}

/// The side of the fork that this process is on.
#[derive(Debug)]
pub enum Watched {
    /// The side that does the work.
    Worker,
    /// The side that watched; the work is over.
    Over {
        /// The way in which the worker ended.
        death: Death,
        /// The contents of its page.
        call: ActiveCall,
        /// Somebody asked it to stop.
        asked: bool,
    },
}

/// Forks. The worker returns at once, the watcher when the worker has ended; no plugin has the floor for longer than `limit`.
///
/// # Errors
/// Other threads that exist already, and what the system refuses.
pub fn watched(limit: Option<Duration>) -> io::Result<Watched> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("there are other threads already"));
    }
    let page = shared_page()?;
    let heard = heard_signals();
    let before = block(&heard)?;
    let watcher = std::process::id();
    // SAFETY: there is no other thread whose locks the copy could inherit.
    match unsafe { libc::fork() } {
        -1 => {
            let error = io::Error::last_os_error();
            unblock(&before);
            Err(error)
        }
        0 => {
            end_with(watcher);
            unblock(&before);
            page.adopt();
            Ok(Watched::Worker)
        }
        worker => Ok(watch(worker, page, &heard, limit)),
    }
}

/// A page that both sides of a fork see.
fn shared_page() -> io::Result<&'static Page> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address of the system's choice.
    let mapped = unsafe { libc::mmap(ptr::null_mut(), size_of::<Page>(), protection, flags, -1, 0) };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeros, which are a valid `Page`; aligned to a page, as large as asked for, and never unmapped.
    Ok(unsafe { &*mapped.cast::<Page>() })
}

fn heard_signals() -> libc::sigset_t {
    // SAFETY: sigemptyset initialises the set, sigaddset adds valid signal numbers.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in ASKS.into_iter().chain([libc::SIGCHLD]) {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

/// Keeps signals for the watcher; gives the mask before. None is lost between the fork and the first wait.
fn block(set: &libc::sigset_t) -> io::Result<libc::sigset_t> {
    // SAFETY: both sets are valid; the handler of SIGCHLD is set to its default.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        let mut before = std::mem::zeroed();
        match libc::sigprocmask(libc::SIG_BLOCK, set, &raw mut before) {
            0 => Ok(before),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

fn unblock(before: &libc::sigset_t) {
    // SAFETY: a mask that was in force before.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, before, ptr::null_mut()) };
}

/// A worker whose watcher is killed would hold the run folder's lock against the same command.
fn end_with(watcher: u32) {
    // SAFETY: plain system calls. A watcher that was gone before prctl was heard is no longer our parent.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid().unsigned_abs() != watcher {
            libc::_exit(i32::from(ExitCode::Interrupted as u8));
        }
    }
}

fn watch(worker: libc::pid_t, page: &'static Page, heard: &libc::sigset_t, limit: Option<Duration>) -> Watched {
    // Fine enough that a limit is met within a tenth of it; without one there is nothing to look at but signals.
    let look_every = limit.map_or(Duration::from_secs(1), |limit| (limit / 10).min(Duration::from_millis(200)));
    let (mut seen, mut silence) = (page.turn(), Duration::ZERO);
    let (mut asked, mut silent) = (false, None);
    loop {
        let began = Instant::now();
        let signal = wait_for_signal(heard, look_every);
        // No more than was waited for: while a terminal or a busy machine stops us, the worker stands still as well.
        silence += began.elapsed().min(look_every);
        if let Some(status) = ended(worker) {
            let death = silent.map_or(status, Death::Silent);
            return Watched::Over { death, call: page.read(), asked };
        }
        if let Some(signal) = signal.filter(|signal| ASKS.contains(signal)) {
            asked = true;
            send(worker, signal);
        }
        let turn = page.turn();
        if turn != seen {
            (seen, silence) = (turn, Duration::ZERO);
        }
        if turn.0 == Floor::Plugin && limit.is_some_and(|limit| silence >= limit) {
            silent = limit;
            send(worker, libc::SIGKILL);
        }
    }
}

fn wait_for_signal(heard: &libc::sigset_t, at_most: Duration) -> Option<libc::c_int> {
    let (tv_sec, tv_nsec) = (at_most.as_secs().cast_signed(), i64::from(at_most.subsec_nanos()));
    let timeout = libc::timespec { tv_sec, tv_nsec };
    // SAFETY: the set and the time are valid; nothing is asked of the signal but its number.
    let signal = unsafe { libc::sigtimedwait(heard, ptr::null_mut(), &raw const timeout) };
    (signal > 0).then_some(signal)
}

/// The way in which the worker ended, if it has.
fn ended(worker: libc::pid_t) -> Option<Death> {
    let mut status = 0;
    // SAFETY: a child of ours that was not waited for yet.
    if unsafe { libc::waitpid(worker, &raw mut status, libc::WNOHANG) } != worker {
        return None;
    }
    Some(match libc::WIFSIGNALED(status) {
        true => Death::Signal(libc::WTERMSIG(status)),
        false => Death::Exited(libc::WEXITSTATUS(status)),
    })
}

fn send(worker: libc::pid_t, signal: libc::c_int) {
    // SAFETY: a child of ours that was not waited for yet, so that the id is its own.
    unsafe { libc::kill(worker, signal) };
}
