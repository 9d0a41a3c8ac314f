//! Side: data owner. Takes: an emulator and (context, answer) pairs. Gives: the return with the adapter delta. Plugin kind: adapter.
//!
//! It reads the bundle and the data, never the model.

use crate::artefacts::{Curves, Emulator, Parameter, ReturnArtefact, TrainingLog, TuningRecord, write_return};
use crate::error::StageError;
use crate::load::outline;
use crate::progress::Progress;
use crate::run::{DataOwnerRun, Party as _, identity};
use crate::seed::seed_for;
use crate::stage::Stage;
use crate::training::{
    self, AdapterSteps, CHECKPOINT, FinalState, Pairs, TrainSettings, TrainingInputs, attach, read_pairs,
    train_settings,
};
use scaleot_config::{ConfigError, KeyPath};
use scaleot_plugin_api::{AdapterModule, ModelOutline, StrategyKind};
use scaleot_plugins::AdapterHandle;
use scaleot_store::{Checkpoints, VerifiedFolder};
use serde_json::{Value, json};

/// The work of a tuning on an emulator.
pub struct Tuning<'a> {
    /// The adapter's plugin; none where the bundle alone says what trains, whose parts take plain steps.
    pub adapter: Option<&'a mut AdapterHandle>,
    /// Pairs to train on and to be judged on.
    pub pairs: &'a Pairs,
    /// The course of the training.
    pub settings: TrainSettings,
    /// The seed of the section.
    pub seed: u64,
}

/// The result of a tuning.
pub struct Tuned {
    /// The tensors that trained, in their best state.
    pub parameters: Vec<Parameter>,
    /// The history of the training.
    pub log: TrainingLog,
    /// Curves that the adapter's plugin recorded.
    pub curves: Curves,
}

/// Tunes the adapters of an emulator, from the last checkpoint or from the start. The emulator itself stays as it was shipped.
///
/// # Errors
/// The error of a step, or `Interrupted` (a checkpoint is kept then).
pub fn tune(
    emulator: &Emulator,
    tuning: Tuning<'_>,
    checkpoints: &Checkpoints<'_>,
    progress: &mut dyn Progress,
) -> Result<Tuned, StageError> {
    let Tuning { adapter, pairs, settings, seed } = tuning;
    let mut decoder = emulator.decoder().clone();
    let mut parameters = Vec::new();
    for (slot, module) in emulator.description().adapters() {
        parameters.append(&mut attach(&mut decoder, slot, module, seed_for(seed, "adapter"))?);
    }
    let work = TrainingInputs {
        decoder: &decoder,
        parameters: parameters.iter().map(|parameter| parameter.tensor.clone()).collect(),
        train: pairs.train.as_ref(),
        validation: pairs.validation.as_ref(),
        settings,
        loss: None,
        state: FinalState::Best,
    };
    let (seed, curves) = (seed_for(seed, "tuning steps"), Curves::default());
    let mut steps = adapter.map(|handle| AdapterSteps { handle, outline: outline(&decoder), seed, curves });
    let log = training::train(work, steps.as_mut(), checkpoints, Stage::Tune, progress)?;
    Ok(Tuned { parameters, log, curves: steps.map(|steps| steps.curves).unwrap_or_default() })
}

impl DataOwnerRun<'_> {
    /// Tunes the adapters of the bundle and writes the return.
    ///
    /// # Errors
    /// The fault of the data, or a request to stop (a checkpoint is kept).
    pub fn tune(&mut self, progress: &mut dyn Progress) -> Result<VerifiedFolder, StageError> {
        let data = self.core.training_inputs(&self.core.config.tune)?;
        let strategy =
            if self.bundle_decides { Value::Null } else { self.core.strategy_inputs(StrategyKind::Adapter)? };
        let parts = json!([self.emulator.bundle().to_string(), data, strategy]);
        let inputs = self.core.inputs(Stage::Tune, parts);
        if let Some(record) = self.core.up_to_date(Stage::Tune, &inputs, progress)?
            && let Some(done) = self.return_of(&TuningRecord::read(&record)?, progress)?
        {
            return Ok(done);
        }
        self.measure(Stage::Tune, |run| run.tune_and_write(&inputs, progress))
    }

    /// The return that a record speaks of: a return says nothing of what it was made from itself.
    fn return_of(
        &self,
        record: &TuningRecord,
        progress: &mut dyn Progress,
    ) -> Result<Option<VerifiedFolder>, StageError> {
        let fits = |folder: &VerifiedFolder| identity(folder) == record.returned;
        let done = match self.core.completed(Stage::Tune.folder())?.filter(fits) {
            Some(done) => Some(done),
            None => self.core.take(Stage::Tune.folder(), &record.inputs, progress)?.filter(fits),
        };
        if done.is_some() {
            self.core.give(Stage::Tune, &record.inputs)?;
        }
        Ok(done)
    }

    fn tune_and_write(&mut self, inputs: &str, progress: &mut dyn Progress) -> Result<VerifiedFolder, StageError> {
        let section = self.core.config.tune.clone();
        let emulator = &self.emulator;
        let adapters: Vec<(usize, AdapterModule)> =
            emulator.description().adapters().map(|(slot, module)| (slot, module.clone())).collect();
        // Nobody's plugin is needed where only the bundle says what trains: its parts take plain steps.
        let mut adapter = match self.bundle_decides {
            true => None,
            false => Some(AdapterHandle::try_from(self.core.required_strategy(StrategyKind::Adapter)?)?),
        };
        if let Some(adapter) = &mut adapter {
            self.refuse_another_adapter(adapter, &outline(emulator.decoder()), &adapters)?;
        }
        let context = emulator.decoder().config.context;
        let pairs = read_pairs(&self.core.config, &section, emulator.tokenizer(), context)?;
        let settings = train_settings(&section, pairs.train.batches_per_epoch());
        let checkpoints = Checkpoints::new(&self.core.dir, Stage::Tune.label(), CHECKPOINT, inputs);
        let seed = self.core.config.seed_of(&section);
        let tuning = Tuning { adapter: adapter.as_mut(), pairs: &pairs, settings, seed };
        let Tuned { parameters, log, curves } = tune(emulator, tuning, &checkpoints, progress)?;
        self.write_curves(&curves)?;
        let trainable = parameters.iter().map(|parameter| parameter.tensor.numel() as u64).sum();
        let artefact = ReturnArtefact { inputs: None, bundle: emulator.bundle(), adapters, trainable, log };
        let done = write_return(self.core.dir.stage(Stage::Tune.folder().name)?, &artefact, &parameters)?;
        self.core.give(Stage::Tune, inputs)?;
        let record = TuningRecord { inputs: inputs.into(), returned: identity(&done) };
        record.write(self.core.dir.stage(Stage::Tune.record().name)?)?;
        checkpoints.clear()?;
        Ok(done)
    }

    /// Writes the curves of an adapter's plugin into the run folder: a curve never leaves with the return.
    fn write_curves(&self, curves: &Curves) -> Result<(), StageError> {
        if curves.0.is_empty() {
            return Ok(());
        }
        let mut file = self.core.dir.file(&format!("{}-curves.json", Stage::Tune.label()))?;
        file.put(&serde_json::to_vec_pretty(curves).unwrap_or_default())?;
        Ok(file.commit().map(drop)?)
    }

    /// The adapter that the config names is the one that the owner put into the bundle.
    fn refuse_another_adapter(
        &self,
        adapter: &mut AdapterHandle,
        outline: &ModelOutline,
        adapters: &[(usize, AdapterModule)],
    ) -> Result<(), StageError> {
        // Where parts differ from layer to layer, the strategy went by the owner's layers, which are not known here.
        let varies = adapters.windows(2).any(|pair| matches!(pair, [(_, one), (_, other)] if one != other));
        for (slot, module) in adapters {
            let Some(layer) = outline.layers.get(*slot) else { continue };
            let own = adapter.attach(layer)?;
            let kinds = |module: &AdapterModule| module.parts.iter().map(std::mem::discriminant).collect::<Vec<_>>();
            let fits = if varies { kinds(&own) == kinds(module) } else { own == *module };
            if fits {
                continue;
            }
            let key = KeyPath::of("adapter").key(if kinds(&own) == kinds(module) { "options" } else { "use" });
            let found = format!("\"{}\", which trains {}", self.core.config.adapter.strategy, described(&own));
            let expected = format!(
                "the owner's strategy and options, because the bundle has {} in slot {slot}; \
                 left out with --bundle, the bundle alone says what trains",
                described(module)
            );
            return Err(ConfigError::Value { place: self.core.config.places().of(&key), key, found, expected }.into());
        }
        Ok(())
    }
}

/// The parts of an adapter in words: the first, and how many more.
fn described(module: &AdapterModule) -> String {
    let first = module.parts.first().map(ToString::to_string).unwrap_or_default();
    match module.parts.len() {
        0 => "nothing".to_owned(),
        1 => first,
        count => format!("{first} and {} more parts", count - 1),
    }
}
