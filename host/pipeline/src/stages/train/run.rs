//! The owner's training of the chosen emulator as a stage of a run: only where the config has a [train].

use super::{Student, TrainInputs, described_substitutes, train, write};
use crate::artefacts::{TrainArtefact, read_importance, read_plan};
use crate::error::StageError;
use crate::progress::Progress;
use crate::run::{OwnerModel, OwnerRun, Party as _, TextOrder, TrainUpstream};
use crate::seed::seed_for;
use crate::stage::Stage;
use crate::training::{CHECKPOINT, train_settings};
use scaleot_config::TrainingSection;
use scaleot_data::Batches;
use scaleot_model::Decoder;
use scaleot_plugin_api::{LayerPlan, Objective, ObjectiveTerm, StrategyKind, Substitute};
use scaleot_plugins::ReplacerHandle;
use scaleot_store::{Checkpoints, VerifiedFolder};
use scaleot_tensor::Tensor;
use serde_json::json;

impl OwnerRun<'_> {
    /// Trains the chosen emulator on public text; nothing where the config has no [train].
    ///
    /// # Errors
    /// A replacer with nothing to train, the error of a step, or a request to stop (a checkpoint is kept).
    pub fn train(&mut self, progress: &mut dyn Progress) -> Result<Option<VerifiedFolder>, StageError> {
        let Some(section) = self.core.config.train.clone() else { return Ok(None) };
        let owner = self.model()?;
        let upstream = self.train_upstream()?;
        let parts = json!([
            owner.fingerprint.to_string(),
            upstream.identities(),
            self.core.strategy_inputs(StrategyKind::Replace)?,
            self.core.public_text_inputs()?,
            self.core.recipe(&section),
        ]);
        let inputs = self.core.inputs(Stage::Train, parts);
        if let Some(done) = self.core.up_to_date(Stage::Train, &inputs, progress)? {
            return Ok(Some(done));
        }
        self.measure(Stage::Train, |run| run.train_emulator(&owner, &section, &upstream, &inputs, progress)).map(Some)
    }

    fn train_emulator(
        &mut self,
        owner: &OwnerModel,
        section: &TrainingSection,
        upstream: &TrainUpstream,
        inputs: &str,
        progress: &mut dyn Progress,
    ) -> Result<VerifiedFolder, StageError> {
        let mut replacer = ReplacerHandle::try_from(self.core.required_strategy(StrategyKind::Replace)?)?;
        let plan = read_plan(&upstream.planned)?.plan;
        let (scored, substitutes) = read_importance(&upstream.scored)?;
        // An objective may name layers of the plan, so the replacer is asked for it again first.
        let ask = self.replace_request(owner, &scored.scores)?;
        replacer.select(&scored.scores, &ask)?;
        let objective = replacer.objective()?.unwrap_or_else(|| Objective::new(1.0, ObjectiveTerm::NextToken));
        let student = self.student(&owner.model.decoder, &plan, &substitutes, &objective)?;
        let batch_size = section.batch_size.get() as usize;
        let seed = seed_for(self.core.config.seed_of(section), "order of public text");
        let Some(text) = self.public_text(owner, TextOrder { batch_size, seed })? else {
            return Err(self.core.config.no_public_text().into());
        };
        let checkpoints = Checkpoints::new(&self.core.dir, Stage::Train.label(), CHECKPOINT, inputs);
        let work = TrainInputs {
            full: &owner.model.decoder,
            student: &student,
            objective: &objective,
            text: &text,
            settings: train_settings(section, text.train.batches_per_epoch()),
        };
        let trained = train(work, &checkpoints, progress)?;
        let artefact = TrainArtefact {
            inputs: inputs.into(),
            upstream: upstream.identities(),
            objective,
            trainable: student.leaves().iter().map(|leaf| leaf.numel() as u64).sum(),
            validation_loss_before: trained.before,
            step: trained.step,
            log: trained.log,
            substitutes: described_substitutes(&student),
            kept_layers: student.kept_layers.clone(),
        };
        let done = write(self.core.dir.stage(Stage::Train.folder().name)?, &artefact, &student)?;
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
        Err(self.core.config.nothing_trains().into())
    }
}
