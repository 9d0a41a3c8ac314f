//! What every verb with a config does first: load the config with its overrides, open the run, say what changed since last time.

use super::args::{ConfigArgs, Global};
use super::data::check_data;
use super::failure::exit_code;
use super::progress::Bars;
use super::signals;
use super::strategies::check_strategies;
use host::config::{KeyPath, PathNeed, RunConfig, StrategyKind};
use host::fault::ExitCode;
use host::pipeline::error::StageError;
use host::pipeline::progress::Progress as _;
use host::pipeline::run::{RECORD, Run};
use host::store::StagePool;
use host::tensor::Device;

/// An open run and where its progress goes.
pub struct Session {
    pub run: Run,
    pub bars: Bars,
}

/// What a verb is about to use: refused by key before anything is computed.
#[derive(Clone, Copy)]
pub struct Needs {
    pub paths: &'static [PathNeed],
    pub strategies: &'static [StrategyKind],
}

/// The config with the command line laid over it.
pub fn load(args: &ConfigArgs, global: &Global) -> anyhow::Result<RunConfig> {
    let mut overrides = args.overrides.clone();
    overrides.extend(global.device.iter().map(|device| format!("runtime.device={device}")));
    overrides.extend(global.threads.iter().map(|threads| format!("runtime.threads={threads}")));
    overrides.extend(global.unpinned.iter().map(|asked| format!("plugins.unpinned={}", asked.key())));
    Ok(RunConfig::load(&args.config, &overrides)?)
}

/// The device that `--device` names, or the CPU.
pub fn device(global: &Global) -> Result<Device, StageError> {
    let device: Device = global.device.as_deref().unwrap_or("cpu").parse()?;
    device.check()?;
    Ok(device)
}

impl Session {
    /// Opens the run of a config.
    pub fn open(config: RunConfig, global: &Global, needs: Needs) -> anyhow::Result<Self> {
        for need in needs.paths {
            config.require(*need)?;
        }
        check_data(&config, needs.paths)?;
        let mut run = Run::open(config, &global.plugin_path)?;
        check_strategies(&run.config, &mut run.registry, needs.strategies)?;
        if let Some(pool) = &global.stage_pool {
            run.share(StagePool::open(pool)?);
        }
        signals::install()?;
        let mut session = Self { run, bars: Bars::new(global.quiet) };
        session.tell_notices();
        session.tell_changes()?;
        Ok(session)
    }

    /// Does a verb's work, then keeps the config beside its results. What is refused leaves the run folder as it was.
    pub fn work<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, StageError>) -> anyhow::Result<T> {
        let outcome = work(self).map_err(anyhow::Error::from);
        let keeps = outcome.as_ref().err().is_none_or(|error| exit_code(error) == ExitCode::Interrupted);
        if keeps {
            self.record()?;
        }
        outcome
    }

    /// Says what a person should know of the plugins' search path.
    fn tell_notices(&mut self) {
        for notice in self.run.registry.take_notices() {
            self.bars.log(&format!("notice: {notice}"));
        }
    }

    /// Lists the keys that differ from the last verb's config: what depends on them is done again.
    fn tell_changes(&mut self) -> anyhow::Result<()> {
        let path = self.run.dir.path().join(RECORD);
        let Ok(text) = std::fs::read_to_string(&path) else { return Ok(()) };
        // The record of another version, or one that somebody edited, tells nothing.
        let Ok(old) = RunConfig::parse(&path, &text, &[]) else { return Ok(()) };
        let told = self.run.config.differences(&old)?.into_iter().filter(|difference| matters(&difference.key));
        for difference in told {
            self.bars.log(&format!("since the last run here {difference}; what depends on it is done again"));
        }
        Ok(())
    }

    fn record(&self) -> anyhow::Result<()> {
        self.run.record_plugins()?;
        let text = self.run.config.to_toml()?;
        let path = self.run.dir.path().join(RECORD);
        if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        let mut file = self.run.dir.file(RECORD)?;
        file.put(text.as_bytes())?;
        file.commit()?;
        Ok(())
    }
}

/// Whether results depend on a key: places and machines are no part of them, and models are known by their content.
fn matters(key: &KeyPath) -> bool {
    let key = key.to_string();
    !["output", "model.path", "data.folder"].contains(&key.as_str())
        && !["runtime.", "plugins."].iter().any(|section| key.starts_with(section))
}
