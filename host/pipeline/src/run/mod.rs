//! One run: config, run folder, plugins, and the model when a stage needs it. Each stage is a method; `pipeline::run_all` orders them.
//!
//! A finished stage is not run again while the digest of its inputs (`inputs`) stays the same, and is taken from another run
//! of the same stage pool (`sharing`). Owner's stages are in `owner`, the data owner's in `data_owner`; nothing of the former is read by the latter
//! but the bundle.

mod columns;
mod costs;
mod data_check;
mod data_owner;
mod inputs;
mod owner;
mod plugins_used;
mod settings;
mod sharing;
mod train;

pub use columns::{COLUMN, ColumnResult, Figure, TaskResult, TextResult};
pub use costs::{Cost, Costs, Meter, peak_bytes};
pub use data_check::{read_data, read_public_text};
pub use data_owner::FULL_TUNING;
pub use owner::PLUGGED;
pub use plugins_used::{PluginUsed, PluginsUsed};
pub use settings::train_settings;
pub use sharing::stage_of;

use super::error::StageError;
use super::load::{fingerprint, load_model, outline};
use scaleot_config::RunConfig;
use scaleot_model::Model;
use scaleot_plugin_api::{ModelOutline, StrategyKind};
use scaleot_plugins::isolation::active_call;
use scaleot_plugins::{PluginLock, Registry, SearchPath, StrategyUse, Trust};
use scaleot_store::{Claim, Digest, ManifestHead, RunDir, StagePool, StoreError, VerifiedFolder};
use scaleot_tensor::{Device, Dtype, set_threads};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The effective config of the last verb, at the top of the run folder.
pub const RECORD: &str = "config.toml";

/// The owner's model with what is derived from it.
pub struct OwnerModel {
    /// Weights stay mapped.
    pub model: Model,
    /// What plugins may know.
    pub outline: ModelOutline,
    /// What the model is known by.
    pub fingerprint: Digest,
}

/// One run.
pub struct Run {
    /// The checked config.
    pub config: RunConfig,
    /// Where artefacts lie.
    pub dir: RunDir,
    /// Plugins by name.
    pub registry: Registry,
    place: (Device, Dtype),
    model: Option<Rc<OwnerModel>>,
    costs: Costs,
    pool: Option<StagePool>,
    /// The stage that this run is making for the others of the pool.
    claim: Option<Claim>,
}

impl Run {
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
            return Err(StageError::Missing { run: shown(&config.output), artefact: "run", verb: "run" });
        }
        Self::with_folder(config, registry, |config| RunDir::open_to_read(&config.output))
    }

    fn with_folder(
        config: RunConfig,
        registry: Registry,
        folder: impl FnOnce(&RunConfig) -> Result<RunDir, StoreError>,
    ) -> Result<Self, StageError> {
        let place = settings::place(&config);
        place.0.check()?;
        set_threads(settings::threads(&config));
        let dir = folder(&config)?;
        let costs = Costs::read(dir.path());
        Ok(Self { config, dir, registry, place, model: None, costs, pool: None, claim: None })
    }

    /// Where and in what type the run computes.
    pub fn place(&self) -> (Device, Dtype) {
        self.place
    }

    /// What the stages of this run cost so far.
    pub fn costs(&self) -> &Costs {
        &self.costs
    }

    /// The owner's model, loaded once.
    ///
    /// # Errors
    /// What is wrong with the folder.
    pub fn model(&mut self) -> Result<Rc<OwnerModel>, StageError> {
        if let Some(model) = &self.model {
            return Ok(Rc::clone(model));
        }
        let folder = self.config.model.path.clone();
        let model = load_model(&folder, self.place.0, self.place.1)?;
        let outline = outline(&model.decoder);
        let fingerprint = fingerprint(&folder, model.weights())?;
        let loaded = Rc::new(OwnerModel { outline, fingerprint, model });
        self.model = Some(Rc::clone(&loaded));
        Ok(loaded)
    }

    /// Runs `work` as a stage: its time and peak memory are recorded.
    fn measured<T>(
        &mut self,
        stage: &str,
        work: impl FnOnce(&mut Self) -> Result<T, StageError>,
    ) -> Result<T, StageError> {
        active_call::stage(stage);
        let meter = Meter::start();
        let result = work(self)?;
        let cost = meter.stop();
        self.costs.set(stage, cost);
        self.costs.write(&self.dir)?;
        self.conclude(cost)?;
        Ok(result)
    }

    /// The artefact of an earlier stage.
    fn require(
        &self,
        name: &str,
        head: ManifestHead,
        (artefact, verb): (&'static str, &'static str),
    ) -> Result<VerifiedFolder, StageError> {
        self.dir.completed(name, head)?.ok_or_else(|| StageError::Missing {
            run: self.dir.path().display().to_string(),
            artefact,
            verb,
        })
    }

    /// A strategy of the config, its options checked first against its own schema.
    fn strategy(&mut self, kind: StrategyKind) -> Result<Option<StrategyUse>, StageError> {
        let Some((name, _)) = self.config.strategy(kind) else { return Ok(None) };
        let name = name.to_string();
        let record = self.registry.strategy(&name, kind)?;
        self.config.check_strategy_options(kind, &record.options)?;
        Ok(Some(self.registry.create(&name, kind, &self.config.options_json(kind))?))
    }

    /// As [`strategy`](Self::strategy), for a section that every config has.
    fn required_strategy(&mut self, kind: StrategyKind) -> Result<StrategyUse, StageError> {
        self.strategy(kind)?.ok_or_else(|| StageError::Artefact {
            path: "config".into(),
            what: format!("[{}]", kind.as_str()),
            found: "no section".into(),
            expected: "use = \"plugin/strategy\"".into(),
        })
    }

    /// The folder of a finished stage, whether it is complete or not.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
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
fn identity(folder: &VerifiedFolder) -> String {
    folder.manifest().identity().to_string()
}

/// A path as it is written in messages.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
