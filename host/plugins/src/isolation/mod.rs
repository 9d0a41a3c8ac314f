//! A command that runs plugin libraries works in a process of its own, and another one watches it: what no fence catches
//! (a segfault, an abort, `exit`, an endless loop) then ends in a sentence that names the plugin and the call.
//!
//! Rule: fork before anything else exists (no thread, no tensor, no lock), so nothing is loaded twice and no memory is copied.
//! The worker does the whole command, loading of the libraries included. The watcher touches nothing but signals and one shared
//! page ([`active_call`]). Finished stages and checkpoints appear by rename alone, so a death at any moment costs what is unfinished.
//! This is containment of faults, not a sandbox: the worker has the rights of the program.

pub mod active_call;
mod ending;
mod watch;

pub use ending::{Ending, ending};
pub use watch::{Death, Watched, watched};
