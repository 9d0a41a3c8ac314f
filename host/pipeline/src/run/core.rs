//! The part of a run that both parties have: config, run folder, plugins, costs and shared stages.

use super::costs::{Costs, Meter};
use super::settings;
use crate::artefacts::Emulator;
use crate::error::StageError;
use crate::load::Placement;
use crate::stage::{Stage, StageFolder};
use scaleot_config::RunConfig;
use scaleot_plugin_api::StrategyKind;
use scaleot_plugins::isolation::active_call;
use scaleot_plugins::{PluginLock, Registry, SearchPath, StrategyUse, Trust};
use scaleot_store::{Claim, RunDir, StagePool, StoreError, VerifiedFolder};
use scaleot_tensor::set_threads;
use std::path::PathBuf;

/// The effective config of the last verb, at the top of the run folder.
pub const RECORD: &str = "config.toml";

/// One run, as far as both parties have it.
pub struct RunCore {
    /// The checked config.
    pub config: RunConfig,
    /// The run folder.
    pub dir: RunDir,
    /// Plugins by name.
    pub registry: Registry,
    pub(crate) placement: Placement,
    pub(super) costs: Costs,
    pub(super) pool: Option<StagePool>,
    /// The stage that this run is making for the others of the pool.
    pub(super) claim: Option<Claim>,
}

impl RunCore {
    /// Opens the run folder of a config (and takes its lock), with the plugins that it can use.
    ///
    /// # Errors
    /// A folder that is another's, a device that is absent.
    pub fn open(config: RunConfig, registry: Registry) -> Result<Self, StageError> {
        Self::with_folder(config, registry, |config| RunDir::open(&config.output, config.model.folder()))
    }

    /// Opens a finished run to read it; its folder may be one that cannot be written.
    ///
    /// # Errors
    /// A folder that is another's or none, a device that is absent.
    pub fn open_to_read(config: RunConfig, registry: Registry) -> Result<Self, StageError> {
        if !config.output.exists() {
            return Err(StageError::Missing { run: config.output.display().to_string(), artefact: "run", verb: "run" });
        }
        Self::with_folder(config, registry, |config| RunDir::open_to_read(&config.output))
    }

    fn with_folder(
        config: RunConfig,
        registry: Registry,
        folder: impl FnOnce(&RunConfig) -> Result<RunDir, StoreError>,
    ) -> Result<Self, StageError> {
        let placement = settings::placement(&config);
        placement.device.check()?;
        set_threads(settings::threads(&config));
        let dir = folder(&config)?;
        let costs = Costs::read(dir.path());
        Ok(Self { config, dir, registry, placement, costs, pool: None, claim: None })
    }

    /// The device that the run computes on, and its element type.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// The costs of the stages so far.
    pub fn costs(&self) -> &Costs {
        &self.costs
    }

    /// The result of an earlier stage.
    ///
    /// # Errors
    /// A stage that has not run, or a damaged result.
    pub fn require(&self, stage: Stage) -> Result<VerifiedFolder, StageError> {
        self.require_folder(stage, stage.folder())
    }

    /// The record of an earlier stage that states its inputs.
    pub(crate) fn require_record(&self, stage: Stage) -> Result<VerifiedFolder, StageError> {
        self.require_folder(stage, stage.record())
    }

    fn require_folder(&self, stage: Stage, folder: StageFolder) -> Result<VerifiedFolder, StageError> {
        self.completed(folder)?.ok_or_else(|| self.missing(stage))
    }

    /// The refusal of a stage that has not run.
    pub(crate) fn missing(&self, stage: Stage) -> StageError {
        let run = self.dir.path().display().to_string();
        StageError::Missing { run, artefact: stage.artefact(), verb: stage.verb() }
    }

    /// A folder of a stage, if it is complete.
    ///
    /// # Errors
    /// A damaged one.
    pub fn completed(&self, folder: StageFolder) -> Result<Option<VerifiedFolder>, StageError> {
        Ok(self.dir.completed(folder.name, folder.head)?)
    }

    /// The emulator of this run's own bundle.
    pub(crate) fn own_emulator(&self) -> Result<Emulator, StageError> {
        self.require(Stage::Bundle)?;
        Emulator::open(&self.path_of(Stage::Bundle), self.placement)
    }

    /// A strategy of the config, its options checked first against its own schema.
    pub(super) fn strategy(&mut self, kind: StrategyKind) -> Result<Option<StrategyUse>, StageError> {
        let Some((name, _)) = self.config.strategy(kind) else { return Ok(None) };
        let name = name.to_string();
        let record = self.registry.strategy(&name, kind)?;
        self.config.check_strategy_options(kind, &record.options)?;
        Ok(Some(self.registry.create(&name, kind, &self.config.options_json(kind))?))
    }

    /// As [`strategy`](Self::strategy), for a section that every config has.
    pub(crate) fn required_strategy(&mut self, kind: StrategyKind) -> Result<StrategyUse, StageError> {
        self.strategy(kind)?.ok_or_else(|| StageError::InvalidValue {
            subject: "config".into(),
            what: format!("[{}]", kind.as_str()),
            found: "no section".into(),
            expected: "use = \"plugin/strategy\"".into(),
        })
    }

    /// The folder of a stage's result, whether it is there or not.
    pub fn path_of(&self, stage: Stage) -> PathBuf {
        self.dir.path().join(stage.folder().name)
    }
}

/// A party at work on a run.
pub(crate) trait Party {
    /// The run that it works on.
    fn core_mut(&mut self) -> &mut RunCore;

    /// Runs `work` as a stage: its time and peak memory are recorded.
    fn measure<T>(
        &mut self,
        stage: Stage,
        work: impl FnOnce(&mut Self) -> Result<T, StageError>,
    ) -> Result<T, StageError> {
        active_call::stage(stage.label());
        let meter = Meter::start();
        let result = work(self)?;
        let (cost, core) = (meter.stop(), self.core_mut());
        core.costs.set(stage, cost);
        core.costs.write(&core.dir)?;
        core.conclude(cost)?;
        Ok(result)
    }
}

/// The plugins that a config can use: `plugin_paths` are searched first; what is loaded, the config and its lock file decide.
///
/// # Errors
/// Two built-in plugins of one name, a lock file that cannot be read.
pub fn registry(config: &RunConfig, plugin_paths: &[PathBuf]) -> Result<Registry, StageError> {
    let search = SearchPath::with_config(plugin_paths.iter().cloned(), config.plugins.paths.iter().cloned());
    let lock = PluginLock::of_config(config.places().path())?;
    let trust = Trust { pins: config.plugins.pins.clone(), lock, unpinned: config.plugins.unpinned };
    Ok(Registry::new(search)?.trusting(trust))
}

/// The identity of an artefact, for the inputs of the next stage.
pub(crate) fn identity(folder: &VerifiedFolder) -> String {
    folder.manifest().identity().to_string()
}
