//! The owner's training of the chosen emulator as a stage of a run: only where the config has a [train].

use super::settings::train_settings;
use super::{OwnerModel, Run, identity};
use crate::error::StageError;
use crate::importance::{self, seed_for};
use crate::progress::Progress;
use crate::replace;
use crate::train::{self, Student, TrainArtefact, TrainInputs};
use crate::tune::CHECKPOINT;
use scaleot_config::TrainingSection;
use scaleot_data::Batches;
use scaleot_model::Decoder;
use scaleot_plugin_api::{LayerPlan, Objective, ObjectiveTerm, StrategyKind, Substitute};
use scaleot_plugins::ReplacerHandle;
use scaleot_store::{Checkpoints, VerifiedFolder};
use scaleot_tensor::Tensor;
use serde_json::json;

/// What the stage takes.
struct Upstream {
    scored: VerifiedFolder,
    planned: VerifiedFolder,
}

impl Run {
    /// Trains the chosen emulator on public text; nothing where the config has no [train].
    ///
    /// # Errors
    /// A replacer with nothing to train, what a step returned, or a request to stop (a checkpoint is kept).
    pub fn train(&mut self, progress: &mut dyn Progress) -> Result<Option<VerifiedFolder>, StageError> {
        let Some(section) = self.config.train.clone() else { return Ok(None) };
        let owner = self.model()?;
        let upstream = self.train_upstream()?;
        let parts = json!([
            owner.fingerprint.to_string(),
            upstream.identities(),
            self.strategy_inputs(StrategyKind::Replace)?,
            self.public_text_inputs()?,
            self.recipe(&section),
        ]);
        let inputs = self.inputs("train", parts);
        if let Some(done) = self.up_to_date(("train", train::HEAD), &inputs, progress)? {
            return Ok(Some(done));
        }
        self.measured("train", |run| run.train_emulator((&owner, &section), &upstream, &inputs, progress)).map(Some)
    }

    fn train_emulator(
        &mut self,
        (owner, section): (&OwnerModel, &TrainingSection),
        upstream: &Upstream,
        inputs: &str,
        progress: &mut dyn Progress,
    ) -> Result<VerifiedFolder, StageError> {
        let mut replacer = ReplacerHandle::try_from(self.required_strategy(StrategyKind::Replace)?)?;
        let plan = replace::read(&upstream.planned)?.plan;
        let (scored, substitutes) = importance::read(&upstream.scored)?;
        // An objective may name layers of the plan, so the replacer is asked for it again first.
        let ask = self.replace_request(owner, &scored.scores)?;
        replace::choose(&mut replacer, &scored.scores, &ask)?;
        let objective = replacer.objective()?.unwrap_or_else(|| Objective::new(1.0, ObjectiveTerm::NextToken));
        let student = self.student(&owner.model.decoder, &plan, &substitutes, &objective)?;
        let batch_size = section.batch_size.get() as usize;
        let seed = seed_for(self.config.seed_of(section), "order of public text");
        let Some((text, held_out)) = self.public_text(owner, (batch_size, seed))? else {
            return Err(self.config.no_public_text().into());
        };
        let checkpoints = Checkpoints::new(&self.dir, "train", CHECKPOINT, inputs);
        let work = TrainInputs {
            full: &owner.model.decoder,
            student: &student,
            objective: &objective,
            text: (&text, &held_out),
            settings: train_settings(section, text.batches_per_epoch()),
        };
        let trained = train::train(work, &checkpoints, progress)?;
        let artefact = TrainArtefact {
            inputs: inputs.into(),
            upstream: upstream.identities(),
            objective,
            trainable: student.leaves().iter().map(|leaf| leaf.numel() as u64).sum(),
            validation_loss_before: trained.before,
            step: trained.step,
            log: trained.log,
            substitutes: train::described_substitutes(&student),
            kept_layers: student.kept_layers.clone(),
        };
        let done = train::write(self.dir.stage("train")?, &artefact, &student)?;
        checkpoints.clear()?;
        Ok(done)
    }

    /// The emulator in training; refused where nothing of it would learn.
    fn student(
        &self,
        full: &Decoder,
        plan: &LayerPlan,
        substitutes: &[Substitute<Tensor>],
        objective: &Objective,
    ) -> Result<Student, StageError> {
        let student = Student::new(full, plan, substitutes, objective.trains)?;
        if !student.leaves().is_empty() {
            return Ok(student);
        }
        Err(self.config.nothing_trains().into())
    }

    fn train_upstream(&self) -> Result<Upstream, StageError> {
        Ok(Upstream {
            scored: self.require("importance", importance::HEAD, ("importance scores", "importance"))?,
            planned: self.require("replace", replace::HEAD, ("layer plan", "replace"))?,
        })
    }

    /// The trained emulator of this run, made from its present scores and plan; `None` where the config trains nothing.
    pub(super) fn trained(&self) -> Result<Option<VerifiedFolder>, StageError> {
        if self.config.train.is_none() {
            return Ok(None);
        }
        let what = ("trained emulator of this layer plan", "train");
        let folder = self.require("train", train::HEAD, what)?;
        let artefact: TrainArtefact = folder.body()?;
        if artefact.upstream == self.train_upstream()?.identities() {
            return Ok(Some(folder));
        }
        Err(StageError::Missing { run: self.dir.path().display().to_string(), artefact: what.0, verb: what.1 })
    }

    /// As [`trained`](Self::trained), where kept layers were trained: what compression depends on.
    pub(super) fn trained_layers(&self) -> Result<Option<VerifiedFolder>, StageError> {
        let Some(folder) = self.trained()? else { return Ok(None) };
        let artefact: TrainArtefact = folder.body()?;
        Ok(Some(folder).filter(|_| !artefact.kept_layers.is_empty()))
    }

    /// The full model as it goes into the emulator: a copy, with the kept layers that were trained.
    pub(super) fn emulator_source(
        &self,
        owner: &OwnerModel,
        trained: Option<&VerifiedFolder>,
    ) -> Result<Decoder, StageError> {
        let mut decoder = owner.model.decoder.clone();
        if let Some(folder) = trained {
            train::install_layers(folder, &mut decoder)?;
        }
        Ok(decoder)
    }
}

impl Upstream {
    fn identities(&self) -> [String; 2] {
        [identity(&self.scored), identity(&self.planned)]
    }
}
