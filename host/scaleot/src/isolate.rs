//! The commands that are watched: those that are about to load a plugin library, unless `plugins.isolation` is "none".
//!
//! The decision is made before any call of libtorch. A config that cannot be read gets its refusal later, from the command itself.

use super::args::{Args, ConfigArgs, Global, SuiteArgs, Verb};
use super::conclusion::conclude;
use super::failure::ProgramError;
use super::verbs::{Plugins, row};
use super::{needs, session, suite};
use scaleot_config::{Isolation, RunConfig, StrategyKind};
use scaleot_plugins::isolation::{Ending, Watched, ending, watched};
use scaleot_plugins::{Registry, SearchPath};
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

/// The limit of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Watch {
    limit: Option<Duration>,
}

/// In the process that watches, the exit status once the work is over; `None` in the process that is to do the work.
pub fn watch_work(args: &Args) -> Option<ExitCode> {
    let watch = watch(&args.verb, &args.global)?;
    match watched(watch.limit) {
        Ok(Watched::Worker) => None,
        Ok(Watched::Over { death, call, asked }) => Some(match ending(death, &call, asked) {
            Ending::Told(code) => ExitCode::from(code),
            Ending::Untold { code, sentence } => {
                clear_line();
                conclude(args.global.json, || Err(ProgramError::Found(sentence, code).into()))
            }
        }),
        // Worse than no watch would be no work.
        Err(error) => {
            super::output::say(&format!("plugins.isolation: nobody keeps watch: {error}"));
            None
        }
    }
}

/// Clears the line: the progress bar of a worker that died is still on it.
fn clear_line() {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let _ = stderr.write_all(b"\r\x1b[2K");
    }
}

fn watch(verb: &Verb, global: &Global) -> Option<Watch> {
    let whole = Watch { limit: None };
    match row(verb).plugins {
        Plugins::Nothing => None,
        Plugins::InReach => Some(whole),
        Plugins::Named(name) => is_library(name).then_some(whole),
        Plugins::OfConfig(args, kinds) => watch_config(args, kinds, global),
        // Each cell is watched by itself; here the libraries are only asked for their records.
        Plugins::OfSuite(args) => watch_suite(&args, global),
    }
}

fn watch_suite(args: &SuiteArgs, global: &Global) -> Option<Watch> {
    let configs = suite::configs(args, global).ok()?;
    configs.iter().any(|config| uses_library(config, needs::ALL)).then_some(Watch { limit: None })
}

fn watch_config(args: &ConfigArgs, kinds: &[StrategyKind], global: &Global) -> Option<Watch> {
    let config = session::load(args, global).ok()?;
    let seconds = u64::from(config.plugins.call_timeout_s);
    uses_library(&config, kinds).then_some(Watch { limit: (seconds > 0).then(|| Duration::from_secs(seconds)) })
}

fn uses_library(config: &RunConfig, kinds: &[StrategyKind]) -> bool {
    let mut used = kinds.iter().filter_map(|kind| config.strategy(*kind)).map(|(name, _)| name.plugin());
    config.plugins.isolation == Isolation::Process && used.any(is_library)
}

/// True of a plugin that is to be loaded from a file.
fn is_library(name: &str) -> bool {
    Registry::new(SearchPath::default()).is_ok_and(|registry| !registry.is_built_in(name))
}
