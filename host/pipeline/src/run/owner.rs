//! The model owner's stages: importance, replace, compress, bundle, plug-in. Training of the emulator is in `train`.

use super::{OwnerModel, Run, identity, shown};
use crate::bundle::{self, BundleInputs, Ledger, Sent};
use crate::compress::{self, CompressInputs};
use crate::error::StageError;
use crate::importance::{self, ImportanceInputs, Keeper, ReadText, seed_for};
use crate::load::load_tokenizer;
use crate::plug_in;
use crate::progress::Progress;
use crate::replace::{self, adapter_layers};
use crate::train;
use scaleot_config::Placement;
use scaleot_data::{TextOptions, TextWindows};
use scaleot_model::Decoder;
use scaleot_plugin_api::{AdapterModule, ImportanceScores, LayerPlan, LayerRole, ReplaceRequest, StrategyKind};
use scaleot_plugins::isolation::active_call;
use scaleot_plugins::{AdapterHandle, CompressedLayer, CompressorHandle, EstimatorHandle, ReplacerHandle};
use scaleot_store::{Checkpoints, ManifestHead, VerifiedFolder};
use serde_json::json;
use std::path::Path;
use std::rc::Rc;

/// The record of a plug-in.
pub const PLUGGED: ManifestHead = ManifestHead { format: "scaleot-plugged", version: 1 };

impl Run {
    /// Scores layers and trains substitutes.
    ///
    /// # Errors
    /// What a plugin returned, or is wrong with model or text.
    pub fn importance(&mut self, progress: &mut dyn Progress) -> Result<VerifiedFolder, StageError> {
        let owner = self.model()?;
        let parts = json!([
            owner.fingerprint.to_string(),
            self.strategy_inputs(StrategyKind::Importance)?,
            self.substitute_inputs()?,
            self.public_text_inputs()?,
            self.config.seed,
            self.config.importance.batch_size,
        ]);
        // Only where it is said, so that what was made before stays valid.
        let judged = self.config.importance.held_out_batch_size;
        let parts = if judged.is_some() { json!([parts, judged]) } else { parts };
        let inputs = self.inputs("importance", parts);
        if let Some(done) = self.up_to_date(("importance", importance::HEAD), &inputs, progress)? {
            return Ok(done);
        }
        self.measured("importance", |run| {
            let mut estimator = EstimatorHandle::try_from(run.required_strategy(StrategyKind::Importance)?)?;
            let mut replacer = ReplacerHandle::try_from(run.required_strategy(StrategyKind::Replace)?)?;
            progress.begin("importance", owner.outline.n_layers() as u64);
            let text = run.text_to_judge_on(&owner)?;
            let work = ImportanceInputs {
                decoder: &owner.model.decoder,
                outline: &owner.outline,
                text,
                seed: seed_for(run.config.seed, "importance"),
            };
            let store = Checkpoints::new(&run.dir, "importance", importance::CHECKPOINT, &inputs);
            let mut keeper = Keeper::new(store, run.config.importance.checkpoint_every.get().into());
            let estimated = importance::estimate((&mut estimator, &mut replacer), work, &mut keeper, progress)?;
            progress.end(&format!("{} layers scored by {}", estimated.scores.scores.len(), estimator.name()));
            let done = importance::write(run.dir.stage("importance")?, &inputs, &estimated, &keeper.curves)?;
            keeper.clear()?;
            Ok(done)
        })
    }

    /// Nineteen windows of twenty train, the rest judges; the same split for every batch size and seed.
    pub(super) fn public_text(
        &self,
        owner: &OwnerModel,
        (batch_size, seed): (usize, u64),
    ) -> Result<Option<(TextWindows, TextWindows)>, StageError> {
        let files = &self.config.data.public_text;
        if files.is_empty() {
            return Ok(None);
        }
        let tokenizer = load_tokenizer(&self.config.model.path, owner.model.decoder.config.vocabulary)?;
        let sequence_length = (self.config.data.block_length as usize).min(owner.model.decoder.config.context);
        let options = TextOptions { sequence_length, batch_size, seed };
        Ok(Some(TextWindows::read_split(files, &tokenizer, options, 20)?))
    }

    /// Chooses the layers to replace.
    ///
    /// # Errors
    /// What the replacer returned, or a config that does not fit the model.
    pub fn replace(&mut self, progress: &mut dyn Progress) -> Result<VerifiedFolder, StageError> {
        let owner = self.model()?;
        let scored = self.require("importance", importance::HEAD, ("importance scores", "importance"))?;
        let (artefact, _) = importance::read(&scored)?;
        let ask = self.replace_request(&owner, &artefact.scores)?;
        let parts = json!([identity(&scored), self.strategy_inputs(StrategyKind::Replace)?, ask]);
        let inputs = self.inputs("replace", parts);
        if let Some(done) = self.up_to_date(("replace", replace::HEAD), &inputs, progress)? {
            return Ok(done);
        }
        self.measured("replace", |run| {
            let mut replacer = ReplacerHandle::try_from(run.required_strategy(StrategyKind::Replace)?)?;
            run.refuse_equal_scores(&mut replacer, &artefact.scores, &ask)?;
            let plan = replace::choose(&mut replacer, &artefact.scores, &ask)?;
            progress.log(&format!("replace: layers {:?} give way", plan.layers_with(LayerRole::Replace)));
            replace::write(run.dir.stage("replace")?, &inputs, &plan)
        })
    }

    /// Refuses scores that turned out to be all the same, if the replacer sorts by them: what is asked twice, with scores that
    /// rise and that fall with depth, is answered twice the same by a rule of the replacer's own.
    fn refuse_equal_scores(
        &self,
        replacer: &mut ReplacerHandle,
        scores: &ImportanceScores,
        ask: &ReplaceRequest,
    ) -> Result<(), StageError> {
        let of_middle = ask.middle().into_iter().filter_map(|layer| scores.scores.get(layer).copied()).collect();
        let of_middle = ImportanceScores::new(of_middle);
        let Some(score) = of_middle.scores.first().filter(|_| ask.replace_count > 0 && of_middle.are_equal()) else {
            return Ok(());
        };
        let rising: Vec<f32> = (0..ask.n_layers).map(|layer| layer as f32).collect();
        let falling = rising.iter().rev().copied().collect();
        let mut plan = |scores| replacer.select(&ImportanceScores::new(scores), ask);
        if plan(rising)? == plan(falling)? {
            return Ok(());
        }
        Err(self.config.scores_are_equal(*score).into())
    }

    /// Where the adapters stand, and how many layers give way.
    pub(super) fn replace_request(
        &mut self,
        owner: &OwnerModel,
        scores: &ImportanceScores,
    ) -> Result<ReplaceRequest, StageError> {
        let n_layers = owner.outline.n_layers();
        let budget = self.config.validate_against(n_layers as u32)?;
        let (count, replace_count) = (budget.adapter as usize, budget.replaced as usize);
        let placement = self.config.adapter.placement;
        if placement == Placement::TopScore && scores.are_equal() {
            let score = scores.scores.first().copied().unwrap_or_default();
            return Err(self.config.no_top_score(score).into());
        }
        let among: Vec<usize> = if placement == Placement::SpreadKept {
            let mut replacer = ReplacerHandle::try_from(self.required_strategy(StrategyKind::Replace)?)?;
            let ask = ReplaceRequest::new(n_layers, Vec::new(), replace_count);
            replacer.select(scores, &ask)?.layers_with(LayerRole::Keep)
        } else {
            (0..n_layers).collect()
        };
        let places = adapter_layers(placement, count, among.len(), scores).into_iter();
        let adapter_layers = places.filter_map(|place| among.get(place).copied()).collect();
        Ok(ReplaceRequest::new(n_layers, adapter_layers, replace_count))
    }

    /// Compresses the kept layers; nothing without a `[compress]` section.
    ///
    /// # Errors
    /// What the compressor returned.
    pub fn compress(&mut self, progress: &mut dyn Progress) -> Result<Option<VerifiedFolder>, StageError> {
        if self.config.compress.is_none() {
            return Ok(None);
        }
        let owner = self.model()?;
        let planned = self.require("replace", replace::HEAD, ("layer plan", "replace"))?;
        let plan = replace::read(&planned)?.plan;
        let trained = self.trained_layers()?;
        let parts = json!([
            owner.fingerprint.to_string(),
            plan.layers_with(LayerRole::Keep),
            self.strategy_inputs(StrategyKind::Compress)?,
            trained.as_ref().map(identity),
            self.config.seed,
            self.public_text_inputs()?,
        ]);
        let inputs = self.inputs("compress", parts);
        if let Some(done) = self.up_to_date(("compress", compress::HEAD), &inputs, progress)? {
            return Ok(Some(done));
        }
        let done = self.measured("compress", |run| {
            let mut compressor = CompressorHandle::try_from(run.required_strategy(StrategyKind::Compress)?)?;
            let decoder = run.emulator_source(&owner, trained.as_ref())?;
            let text = || run.text_to_measure_on(&owner);
            let work = run.compress_inputs((&decoder, &owner), &plan, &text);
            compress::compress(&mut compressor, &work, (run.dir.stage("compress")?, &inputs), progress)
        })?;
        Ok(Some(done))
    }

    /// Compresses the kept layers again and writes nothing: the work that `bench compress` times.
    ///
    /// # Errors
    /// As [`compress`](Self::compress); a config without a `[compress]` section.
    pub fn each_compressed_layer(
        &mut self,
        progress: &mut dyn Progress,
        keep: &mut dyn FnMut(usize, CompressedLayer) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        let owner = self.model()?;
        let planned = self.require("replace", replace::HEAD, ("layer plan", "replace"))?;
        let plan = replace::read(&planned)?.plan;
        let mut compressor = CompressorHandle::try_from(self.required_strategy(StrategyKind::Compress)?)?;
        let text = || self.text_to_measure_on(&owner);
        let work = self.compress_inputs((&owner.model.decoder, &owner), &plan, &text);
        compress::each_layer(&mut compressor, &work, progress, keep)
    }

    fn compress_inputs<'a>(
        &self,
        (decoder, owner): (&'a Decoder, &'a OwnerModel),
        plan: &'a LayerPlan,
        text: &'a ReadText<'a>,
    ) -> CompressInputs<'a> {
        let seed = seed_for(self.config.seed, "compress");
        CompressInputs { decoder, outline: &owner.outline, plan, text, seed }
    }

    /// The same windows as in the importance stage.
    fn text_to_measure_on(&self, owner: &OwnerModel) -> Result<Option<(TextWindows, TextWindows)>, StageError> {
        let seed = seed_for(self.config.seed, "public text");
        self.public_text(owner, (self.config.importance.batch_size.get() as usize, seed))
    }

    /// As [`text_to_measure_on`](Self::text_to_measure_on), the held-out part in batches of its own size if that was said.
    fn text_to_judge_on(&self, owner: &OwnerModel) -> Result<Option<(TextWindows, TextWindows)>, StageError> {
        let text = self.text_to_measure_on(owner)?;
        match (text, self.config.importance.held_out_batch_size) {
            (Some((train, held_out)), Some(batch_size)) => {
                let seed = seed_for(self.config.seed, "public text");
                let what = "data.public_text (held-out part)";
                Ok(Some((train, held_out.with_batch_size(what, (batch_size.get() as usize, seed))?)))
            }
            (text, _) => Ok(text),
        }
    }

    /// Cuts the emulator and writes the bundle, and the owner's ledger of it.
    ///
    /// # Errors
    /// A missing stage, or a full disk.
    pub fn bundle(&mut self, progress: &mut dyn Progress) -> Result<VerifiedFolder, StageError> {
        // The adapter is asked before the stage knows whether it is up to date.
        active_call::stage("bundle");
        let owner = self.model()?;
        let scored = self.require("importance", importance::HEAD, ("importance scores", "importance"))?;
        let planned = self.require("replace", replace::HEAD, ("layer plan", "replace"))?;
        let (trained, compressed) = (self.trained()?, self.compressed()?);
        let plan = replace::read(&planned)?.plan;
        let adapters = self.adapter_modules(&owner, &plan)?;
        let upstream = [Some(&scored), Some(&planned), trained.as_ref(), compressed.as_ref()];
        let upstream = upstream.map(|folder| folder.map(identity));
        let files = bundle::small_file_inputs(&self.config.model.path, &self.config.bundle)?;
        let inputs = self.inputs("bundle", json!([owner.fingerprint.to_string(), upstream, adapters, files]));
        if let Some(ledger) = self.up_to_date(("ledger", bundle::LEDGER), &inputs, progress)?
            && let Some(done) = self.bundle_of(&Ledger::read(&ledger)?, progress)?
        {
            return Ok(done);
        }
        self.measured("bundle", |run| {
            let (_, mut substitutes) = importance::read(&scored)?;
            if let Some(folder) = &trained {
                train::install_substitutes(folder, &mut substitutes)?;
            }
            let mut decoder = run.emulator_source(&owner, trained.as_ref())?;
            if let Some(folder) = &compressed {
                compress::install(folder, &mut decoder)?;
            }
            let folder = run.config.model.path.clone();
            let work = BundleInputs {
                decoder: &decoder,
                plan: &plan,
                substitutes: &substitutes,
                adapters: &adapters,
                folder: &folder,
                section: &run.config.bundle,
            };
            let (done, sent) = bundle::write(run.dir.stage("bundle")?, &work)?;
            progress.log(&format!("bundle: {} of {} layers have a slot", sent.layer_of_slot.len(), plan.layers.len()));
            run.tell_what_leaves(&sent, progress)?;
            let (bundle, model) = (identity(&done), owner.fingerprint.to_string());
            run.give("bundle", &inputs)?;
            let layer_of_slot = sent.layer_of_slot;
            Ledger { inputs, bundle, model, plan, layer_of_slot }.write(run.dir.stage("ledger")?)?;
            Ok(done)
        })
    }

    /// A licence often has to go with a model, but it names the model, and so may a chat template: the owner decides, and
    /// should know.
    fn tell_what_leaves(&self, sent: &Sent, progress: &mut dyn Progress) -> Result<(), StageError> {
        let include = &self.config.bundle.include;
        let legal = plug_in::files(&self.config.model.path)?.into_iter().filter(|name| plug_in::is_legal(name));
        for name in legal.filter(|name| !include.contains(name)) {
            progress.log(&format!("bundle: {name} stays behind; bundle.include sends it, if the licence asks for it"));
        }
        if sent.has_chat_template {
            let said = "bundle: the chat template goes along, with all that it prints (a default system prompt may name the \
                        model); bundle.chat_template=false keeps it back";
            progress.log(said);
        }
        Ok(())
    }

    /// The bundle that a ledger speaks of: a bundle says nothing of the owner's inputs itself.
    fn bundle_of(&self, ledger: &Ledger, progress: &mut dyn Progress) -> Result<Option<VerifiedFolder>, StageError> {
        let fits = |folder: &VerifiedFolder| identity(folder) == ledger.bundle;
        let done = match self.dir.completed("bundle", bundle::HEAD)?.filter(fits) {
            Some(done) => Some(done),
            None => self.take(("bundle", bundle::HEAD), &ledger.inputs, progress)?.filter(fits),
        };
        if done.is_some() {
            self.give("bundle", &ledger.inputs)?;
        }
        Ok(done)
    }

    fn compressed(&self) -> Result<Option<VerifiedFolder>, StageError> {
        match self.config.compress {
            None => Ok(None),
            Some(_) => self.require("compress", compress::HEAD, ("compressed weights", "compress")).map(Some),
        }
    }

    fn adapter_modules(&mut self, owner: &OwnerModel, plan: &LayerPlan) -> Result<Vec<AdapterModule>, StageError> {
        let mut adapter = AdapterHandle::try_from(self.required_strategy(StrategyKind::Adapter)?)?;
        let layers = plan.layers_with(LayerRole::Adapter).into_iter();
        let outlines = layers.filter_map(|layer| owner.outline.layers.get(layer));
        outlines.map(|outline| Ok(adapter.attach(outline)?)).collect()
    }

    /// The ledger of this run's bundle.
    pub(super) fn ledger(&self) -> Result<Ledger, StageError> {
        let folder = self.require("ledger", bundle::LEDGER, ("bundle", "bundle"))?;
        Ledger::read(&folder)
    }

    /// The full model with a verified return in it.
    ///
    /// # Errors
    /// The first check that the return fails.
    pub fn plugged(&mut self, returned: &Path) -> Result<(Decoder, plug_in::VerifiedReturn), StageError> {
        let owner = self.model()?;
        let ledger = self.ledger()?;
        if ledger.model != owner.fingerprint.to_string() {
            return Err(StageError::Artefact {
                path: shown(&self.config.model.path),
                what: "fingerprint of the model".into(),
                found: owner.fingerprint.to_string(),
                expected: format!("{}, the model that the bundle was cut from", ledger.model),
            });
        }
        let emulator = bundle::open(&self.folder("bundle"), self.place.0, self.place.1)?;
        let limit = self.config.plug_in.max_delta_ratio.get();
        let shipped = (&emulator.decoder, &emulator.description);
        let verified = plug_in::verify(returned, shipped, emulator.bundle, limit)?;
        let mut decoder = owner.model.decoder.clone();
        plug_in::plug_in(&mut decoder, &verified, &|slot| ledger.layer_of_slot.get(slot).copied())?;
        Ok((decoder, verified))
    }

    /// Verifies the return, plugs it in, and writes the adapted model as a model folder if the config says so.
    ///
    /// # Errors
    /// The first check that the return fails, or a full disk.
    pub fn plug_in(&mut self, returned: &Path, progress: &mut dyn Progress) -> Result<VerifiedFolder, StageError> {
        let identity = scaleot_store::Manifest::verify(returned, crate::tune::RETURN)?.manifest().identity();
        let ledger = self.ledger()?;
        let fingerprint = self.model()?.fingerprint.to_string();
        // One bundle may be cut from two models that differ in what it left out, or at other layers.
        let parts =
            json!([identity.to_string(), fingerprint, ledger.bundle, ledger.layer_of_slot, self.config.plug_in]);
        let parts = match self.companion_inputs()? {
            Some(companions) => json!([parts, companions]),
            None => parts,
        };
        let inputs = self.inputs("plug_in", parts);
        if let Some(done) = self.up_to_date(("plug_in", PLUGGED), &inputs, progress)? {
            self.adopt(returned)?;
            return Ok(done);
        }
        self.measured("plug_in", |run| {
            let (decoder, verified) = run.plugged(returned)?;
            run.adopt(returned)?;
            let check = &verified.check;
            progress.log(&format!("plug_in: {} tensors, {check}", check.tensors));
            let mut stage = run.dir.stage("plug_in")?;
            if run.config.plug_in.export {
                plug_in::export(&decoder, &run.config.model.path, &mut stage)?;
            }
            Ok(stage.commit(PLUGGED, &json!({ "inputs": inputs, "check": check }))?)
        })
    }

    /// Makes a return that came from elsewhere this run's own, so that later verbs find it.
    fn adopt(&self, returned: &Path) -> Result<(), StageError> {
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        let own = self.folder("return");
        if real(&own).is_some() && real(&own) == real(returned) {
            return Ok(());
        }
        let verified = scaleot_store::Manifest::verify(returned, crate::tune::RETURN)?;
        let mut stage = self.dir.stage("return")?;
        for name in verified.manifest().files.keys() {
            let path = verified.file(name)?;
            let bytes = std::fs::read(&path).map_err(|source| scaleot_store::StoreError::read(&path, source))?;
            stage.write_bytes(name, &bytes)?;
        }
        stage.commit(crate::tune::RETURN, &verified.manifest().body)?;
        Ok(())
    }

    /// Slot -> layer for the emulator of this run.
    pub(super) fn owner_model(&mut self) -> Result<Rc<OwnerModel>, StageError> {
        self.model()
    }
}
