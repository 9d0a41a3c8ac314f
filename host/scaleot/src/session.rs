//! The beginning of every verb with a config: the config with its overrides, the open run, the changes since last time.

use super::args::{ConfigArgs, Global};
use super::failure::{ProgramError, VerbError, VerbResult};
use super::needs::Needs;
use super::preflight::{Checked, preflight};
use super::progress::Bars;
use super::signals;
use scaleot_config::{ConfigError, KeyPath, RunConfig, refuse_twice};
use scaleot_pipeline::error::StageError;
use scaleot_pipeline::progress::Progress as _;
use scaleot_pipeline::run::{RECORD, RunCore, read_data, registry};
use scaleot_plugins::Registry;
use scaleot_store::StagePool;
use scaleot_store::exit_code::ExitCode;
use scaleot_suite::Suite;
use scaleot_tensor::{Device, processors};

/// An open run and where its progress goes.
pub struct Session {
    pub run: RunCore,
    pub bars: Bars,
    checked: Checked,
}

/// The config with the command line laid over it.
pub fn load(args: &ConfigArgs, global: &Global) -> VerbResult<RunConfig> {
    if Suite::is_suite(&args.config) {
        let what = format!(
            "{}: found a suite, expected a run config; `scaleot compare`, `sweep`, `choose`, `config validate` and \
             `plugin lock` take suites",
            args.config.display()
        );
        return Err(ProgramError::Usage(what).into());
    }
    Ok(RunConfig::load(&args.config, &overrides(&args.overrides, global)?)?)
}

/// The command line's keys: those that flags stand for, and those that are written out, each once.
pub fn overrides(written: &[String], global: &Global) -> Result<Vec<String>, ConfigError> {
    let mut all = written.to_vec();
    all.extend(global.device.iter().map(|device| format!("runtime.device={device}")));
    all.extend(global.threads.iter().map(|threads| format!("runtime.threads={threads}")));
    all.extend(global.unpinned.iter().map(|asked| format!("plugins.unpinned={}", asked.key())));
    refuse_twice(&all)?;
    Ok(all)
}

/// The device that `--device` names, or the CPU.
pub fn device(global: &Global) -> Result<Device, StageError> {
    let device: Device = global.device.as_deref().unwrap_or("cpu").parse()?;
    device.check()?;
    Ok(device)
}

/// The threads that `--threads` names, or one a processor.
pub fn threads(global: &Global) -> usize {
    match global.threads {
        None | Some(0) => processors(),
        Some(threads) => threads as usize,
    }
}

impl Session {
    /// Opens the run of a config.
    pub fn open(config: RunConfig, global: &Global, needs: Needs) -> VerbResult<Self> {
        let mut session = Self::begin(config, global, needs, RunCore::open)?;
        session.tell_changes()?;
        Ok(session)
    }

    /// Opens the run of a config for a verb that only reads it: the folder stays as it is, its record too.
    pub fn open_to_read(config: RunConfig, global: &Global, needs: Needs) -> VerbResult<Self> {
        Self::begin(config, global, needs, RunCore::open_to_read)
    }

    fn begin(
        config: RunConfig,
        global: &Global,
        needs: Needs,
        open: fn(RunConfig, Registry) -> Result<RunCore, StageError>,
    ) -> VerbResult<Self> {
        let mut registry = registry(&config, &global.plugin_path)?;
        let checked = preflight(&config, &mut registry, needs)?;
        let mut run = open(config, registry)?;
        if let Some(pool) = &global.stage_pool {
            run.share(StagePool::open(pool)?);
        }
        signals::install()?;
        let mut session = Self { run, bars: Bars::new(global.quiet), checked };
        session.tell_notices();
        Ok(session)
    }

    /// Before the work of all stages: reads the data that later stages need, and says which keys have no effect.
    pub fn read_data(&mut self) -> Result<(), StageError> {
        if let Some(model) = &self.checked.model {
            read_data(&self.run.config, model)?;
        }
        for notice in self.checked.notices(&self.run.config) {
            self.bars.log(&format!("notice: {notice}"));
        }
        Ok(())
    }

    /// Does a verb's work, then keeps the config beside its results. What is refused leaves the run folder as it was.
    pub fn work<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, StageError>) -> VerbResult<T> {
        let outcome = work(self).map_err(VerbError::from);
        let keeps = outcome.as_ref().err().is_none_or(|error| error.exit_code() == ExitCode::Interrupted);
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
    fn tell_changes(&mut self) -> VerbResult<()> {
        let path = self.run.dir.path().join(RECORD);
        let Ok(text) = std::fs::read_to_string(&path) else { return Ok(()) };
        // The record of another version, or one that somebody edited, tells nothing.
        let Ok(old) = RunConfig::parse(&path, &text, &[]) else { return Ok(()) };
        let differences = self.run.config.differences(&old)?;
        for difference in differences.into_iter().filter(|difference| matters(&difference.key)) {
            self.bars.log(&format!("since the last run here {difference}; what depends on it is done again"));
        }
        Ok(())
    }

    fn record(&self) -> VerbResult<()> {
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

/// True of a key that results depend on: places and machines are no part of them, and models are known by their content.
fn matters(key: &KeyPath) -> bool {
    let key = key.to_string();
    !["output", "model.path", "data.folder"].contains(&key.as_str())
        && !["runtime.", "plugins."].iter().any(|section| key.starts_with(section))
}
