//! The data owner's stage: tune the adapters of a bundle on private pairs and write the return. It reads the bundle and the data, never the model.
//! Full fine-tuning shares the trainer; only the model owner can run it.

use super::settings::train_settings;
use super::{Run, identity, shown};
use crate::bundle::{self, Emulator};
use crate::error::StageError;
use crate::importance::{Curves, seed_for};
use crate::load::{load_tokenizer, outline};
use crate::progress::Progress;
use crate::tensor_file::{TensorFile, write_tensors};
use crate::tune::{
    self, AdapterSteps, CHECKPOINT, FinalState, Parameter, RETURN, ReturnArtefact, TUNING, TrainSettings, TuneInputs,
    TuningRecord, attach, put_back, write_return,
};
use scaleot_config::{ConfigError, KeyPath, RunConfig, TrainingSection};
use scaleot_data::{
    Batches, PairOptions, PairSet, Split, Subset, TaskSet, TextOptions, TextWindows, Tokenizer, subset,
};
use scaleot_model::Decoder;
use scaleot_plugin_api::{AdapterModule, AdapterPart, ModelOutline, StrategyKind};
use scaleot_plugins::AdapterHandle;
use scaleot_store::{Checkpoints, ManifestHead, VerifiedFolder};
use scaleot_tensor::Tensor;
use serde_json::{Value, json};
use std::path::Path;

/// The artefact of full fine-tuning: every transformer layer's tensors.
pub const FULL_TUNING: ManifestHead = ManifestHead { format: "scaleot-full-tuning", version: 1 };

/// Training and validation pairs.
pub(super) struct Pairs {
    train: Box<dyn Batches>,
    validation: Box<dyn Batches>,
}

impl Run {
    /// Tunes the adapters of a bundle (this run's own unless named) and writes the return.
    ///
    /// # Errors
    /// What is wrong with bundle or data, or a request to stop (a checkpoint is kept).
    pub fn tune(&mut self, bundle: Option<&Path>, progress: &mut dyn Progress) -> Result<VerifiedFolder, StageError> {
        let own = self.folder("bundle");
        if bundle.is_none() {
            self.require("bundle", bundle::HEAD, ("bundle", "bundle"))?;
        }
        let emulator = bundle::open(bundle.unwrap_or(&own), self.place.0, self.place.1)?;
        let data = self.training_inputs(&self.config.tune)?;
        let alone = bundle.is_some() && self.config.names_no_adapter();
        let strategy = if alone { Value::Null } else { self.strategy_inputs(StrategyKind::Adapter)? };
        let parts = json!([emulator.bundle.to_string(), data, strategy]);
        let inputs = self.inputs("tune", parts);
        if let Some(record) = self.up_to_date(("tuning", TUNING), &inputs, progress)?
            && let Some(done) = self.return_of(&TuningRecord::read(&record)?, progress)?
        {
            return Ok(done);
        }
        self.measured("tune", |run| run.tune_emulator(emulator, alone, &inputs, progress))
    }

    /// The return that a record speaks of: a return says nothing of what it was made from itself.
    fn return_of(
        &self,
        record: &TuningRecord,
        progress: &mut dyn Progress,
    ) -> Result<Option<VerifiedFolder>, StageError> {
        let fits = |folder: &VerifiedFolder| identity(folder) == record.returned;
        let done = match self.dir.completed("return", RETURN)?.filter(fits) {
            Some(done) => Some(done),
            None => self.take(("return", RETURN), &record.inputs, progress)?.filter(fits),
        };
        if done.is_some() {
            self.give("return", &record.inputs)?;
        }
        Ok(done)
    }

    fn tune_emulator(
        &mut self,
        emulator: Emulator,
        alone: bool,
        inputs: &str,
        progress: &mut dyn Progress,
    ) -> Result<VerifiedFolder, StageError> {
        let section = self.config.tune.clone();
        let seed = seed_for(self.config.seed_of(&section), "adapter");
        let Emulator { mut decoder, description, bundle, tokenizer, .. } = emulator;
        let adapters: Vec<(usize, AdapterModule)> =
            description.adapters().map(|(slot, module)| (slot, module.clone())).collect();
        // Nobody's plugin is needed where only the bundle says what trains: its parts take plain steps.
        let mut adapter = match alone {
            true => None,
            false => Some(AdapterHandle::try_from(self.required_strategy(StrategyKind::Adapter)?)?),
        };
        if let Some(adapter) = &mut adapter {
            self.refuse_another_adapter(adapter, &outline(&decoder), &adapters)?;
        }
        let mut parameters = Vec::new();
        for (slot, module) in &adapters {
            parameters.append(&mut attach(&mut decoder, *slot, module, seed)?);
        }
        let pairs = Self::pairs(&self.config, &section, &tokenizer, decoder.config.context)?;
        let settings = train_settings(&section, pairs.train.batches_per_epoch());
        let checkpoints = Checkpoints::new(&self.dir, "tune", CHECKPOINT, inputs);
        let work = tune_inputs(&decoder, &parameters, &pairs, settings);
        let seed = seed_for(self.config.seed_of(&section), "tuning steps");
        let curves = Curves::default();
        let mut steps =
            adapter.as_mut().map(|handle| AdapterSteps { handle, outline: outline(&decoder), seed, curves });
        let log = tune::train(work, steps.as_mut(), &checkpoints, ("tune", progress))?;
        steps.iter().try_for_each(|steps| self.write_curves("tune", &steps.curves))?;
        let trainable = parameters.iter().map(|parameter| parameter.tensor.numel() as u64).sum();
        let artefact = ReturnArtefact { inputs: None, bundle, adapters, trainable, log };
        let done = write_return(self.dir.stage("return")?, &artefact, &parameters)?;
        self.give("return", inputs)?;
        TuningRecord { inputs: inputs.into(), returned: identity(&done) }.write(self.dir.stage("tuning")?)?;
        checkpoints.clear()?;
        Ok(done)
    }

    /// Writes the curves of an adapter's plugin into the run folder: a curve never leaves with the return.
    fn write_curves(&self, stage: &str, curves: &Curves) -> Result<(), StageError> {
        if curves.0.is_empty() {
            return Ok(());
        }
        let mut file = self.dir.file(&format!("{stage}-curves.json"))?;
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
            let found = format!("\"{}\", which trains {}", self.config.adapter.strategy, described(&own));
            let expected = format!(
                "the owner's strategy and options, because the bundle has {} in slot {slot}; \
                 left out with --bundle, the bundle alone says what trains",
                described(module)
            );
            return Err(ConfigError::Value { place: self.config.places().of(&key), key, found, expected }.into());
        }
        Ok(())
    }

    /// Tunes every transformer layer of the full model: the upper bound of the table.
    ///
    /// # Errors
    /// As [`tune`](Self::tune).
    pub fn full_tuning(&mut self, progress: &mut dyn Progress) -> Result<VerifiedFolder, StageError> {
        let owner = self.model()?;
        let section = self.config.full_tuning.clone();
        let subject = owner.fingerprint.to_string();
        let inputs = self.inputs("full_tuning", json!([subject, self.training_inputs(&section)?]));
        if let Some(done) = self.up_to_date(("full_tuning", FULL_TUNING), &inputs, progress)? {
            return Ok(done);
        }
        self.measured("full_tuning", |run| {
            let mut decoder = owner.model.decoder.clone();
            let parameters = whole_layers(&mut decoder)?;
            let tokenizer = load_tokenizer(&run.config.model.path, decoder.config.vocabulary)?;
            let pairs = Self::pairs(&run.config, &section, &tokenizer, decoder.config.context)?;
            let settings = train_settings(&section, pairs.train.batches_per_epoch());
            let checkpoints = Checkpoints::new(&run.dir, "full_tuning", CHECKPOINT, &inputs);
            let work = tune_inputs(&decoder, &parameters, &pairs, settings);
            let log = tune::train(work, None, &checkpoints, ("full_tuning", progress))?;
            let mut stage = run.dir.stage("full_tuning")?;
            let tensors: Vec<(String, Tensor)> =
                parameters.iter().map(|p| (p.name.clone(), p.tensor.clone())).collect();
            write_tensors(&mut stage, "layers.safetensors", &tensors)?;
            let done = stage.commit(FULL_TUNING, &json!({ "inputs": inputs, "log": log }))?;
            checkpoints.clear()?;
            Ok(done)
        })
    }

    /// The full model with the layers of full fine-tuning.
    pub(super) fn fully_tuned(&mut self) -> Result<Decoder, StageError> {
        let owner = self.model()?;
        let folder = self.require("full_tuning", FULL_TUNING, ("fully tuned model", "full-tuning"))?;
        let file = TensorFile::open(&folder.file("layers.safetensors")?)?;
        let mut decoder = owner.model.decoder.clone();
        let layers: Vec<usize> = (0..decoder.slots.len()).collect();
        put_back(&file, &mut decoder, &layers)?;
        Ok(decoder)
    }

    /// The pairs or the text that a config trains on; also asked before any work, to refuse what cannot be read.
    pub(super) fn pairs(
        config: &RunConfig,
        section: &TrainingSection,
        tokenizer: &Tokenizer,
        context: usize,
    ) -> Result<Pairs, StageError> {
        let data = &config.data;
        let options = PairOptions {
            batch_size: section.batch_size.get() as usize,
            seed: seed_for(config.seed_of(section), "order of pairs"),
            group_by_length: true,
            max_tokens: context,
        };
        let Some(task) = &data.task else {
            return Self::text_pairs(config, tokenizer, options);
        };
        let tasks = TaskSet::with_folder(&data.folder)?;
        let task = tasks.get(task)?;
        let limit = |limit: Option<std::num::NonZeroU32>, seed| match limit {
            None => Subset::All,
            Some(count) => Subset::Seeded { count: count.get() as usize, seed },
        };
        let read = |split, limit| -> Result<Box<dyn Batches>, StageError> {
            let questions = subset(task.questions(&data.folder, split)?, limit);
            let what = shown(&task.file(&data.folder, split)?);
            let pairs = PairSet::new(&what, &questions, tokenizer, options)?;
            Ok(Box::new(pairs) as Box<dyn Batches>)
        };
        Ok(Pairs {
            train: read(Split::Train, limit(data.train_limit, options.seed))?,
            validation: read(Split::Validation, limit(data.validation_limit, options.seed))?,
        })
    }

    /// Plain text: the last twentieth of the blocks is held out.
    fn text_pairs(config: &RunConfig, tokenizer: &Tokenizer, options: PairOptions) -> Result<Pairs, StageError> {
        let sequence_length = (config.data.block_length as usize).min(options.max_tokens);
        let text_options = TextOptions { sequence_length, batch_size: options.batch_size, seed: options.seed };
        let files = &config.data.text;
        let (train, validation) = TextWindows::read_split(files, tokenizer, text_options, 20)?;
        Ok(Pairs { train: Box::new(train), validation: Box::new(validation) })
    }
}

fn tune_inputs<'a>(
    decoder: &'a Decoder,
    parameters: &[Parameter],
    pairs: &'a Pairs,
    settings: TrainSettings,
) -> TuneInputs<'a> {
    let parameters = parameters.iter().map(|parameter| parameter.tensor.clone()).collect();
    let (train, validation) = (pairs.train.as_ref(), pairs.validation.as_ref());
    TuneInputs { decoder, parameters, train, validation, settings, loss: None, state: FinalState::Best }
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

/// Leaves in place of every tensor of every layer.
fn whole_layers(decoder: &mut Decoder) -> Result<Vec<Parameter>, StageError> {
    let whole = AdapterModule::new(vec![AdapterPart::WholeLayer]);
    let mut parameters = Vec::new();
    for slot in 0..decoder.slots.len() {
        parameters.append(&mut attach(decoder, slot, &whole, 0)?);
    }
    Ok(parameters)
}
