//! The importance stage of the owner's run.

use super::{ImportanceInputs, Strategies, estimate, write};
use crate::error::StageError;
use crate::mixture::PublicText;
use crate::progress::Progress;
use crate::run::{OwnerModel, OwnerRun, Party as _};
use crate::seed::seed_for;
use crate::services::{EstimatorCheckpoints, IMPORTANCE_CHECKPOINT};
use crate::stage::Stage;
use scaleot_plugin_api::StrategyKind;
use scaleot_plugins::{EstimatorHandle, ReplacerHandle};
use scaleot_store::{Checkpoints, VerifiedFolder};
use serde_json::json;

impl OwnerRun<'_> {
    /// Scores layers and trains substitutes.
    ///
    /// # Errors
    /// A plugin's error, or the fault of the model or the text.
    pub fn importance(&mut self, progress: &mut dyn Progress) -> Result<VerifiedFolder, StageError> {
        let owner = self.model()?;
        let parts = json!([
            owner.fingerprint.to_string(),
            self.core.strategy_inputs(StrategyKind::Importance)?,
            self.core.substitute_inputs()?,
            self.core.public_text_inputs()?,
            self.core.config.seed,
            self.core.config.importance.batch_size,
        ]);
        // Only where it is said, so that what was made before stays valid.
        let judged = self.core.config.importance.held_out_batch_size;
        let parts = if judged.is_some() { json!([parts, judged]) } else { parts };
        let inputs = self.core.inputs(Stage::Importance, parts);
        if let Some(done) = self.core.up_to_date(Stage::Importance, &inputs, progress)? {
            return Ok(done);
        }
        self.measure(Stage::Importance, |run| {
            let mut estimator = EstimatorHandle::try_from(run.core.required_strategy(StrategyKind::Importance)?)?;
            let mut replacer = ReplacerHandle::try_from(run.core.required_strategy(StrategyKind::Replace)?)?;
            progress.begin(Stage::Importance.label(), owner.outline.n_layers() as u64);
            let text = run.text_to_judge_on(&owner)?;
            let work = ImportanceInputs {
                decoder: &owner.model.decoder,
                outline: &owner.outline,
                text,
                seed: seed_for(run.core.config.seed, Stage::Importance.label()),
            };
            let store = Checkpoints::new(&run.core.dir, Stage::Importance.label(), IMPORTANCE_CHECKPOINT, &inputs);
            let mut checkpoints =
                EstimatorCheckpoints::new(store, run.core.config.importance.checkpoint_every.get().into());
            let estimated = estimate(
                Strategies { estimator: &mut estimator, replacer: &mut replacer },
                work,
                &mut checkpoints,
                progress,
            )?;
            progress.end(&format!("{} layers scored by {}", estimated.scores.scores.len(), estimator.name()));
            let done =
                write(run.core.dir.stage(Stage::Importance.folder().name)?, &inputs, &estimated, &checkpoints.curves)?;
            checkpoints.clear()?;
            Ok(done)
        })
    }

    /// As [`text_to_measure_on`](Self::text_to_measure_on), the held-out part in batches of its own size if that was said.
    fn text_to_judge_on(&self, owner: &OwnerModel) -> Result<Option<PublicText>, StageError> {
        let text = self.text_to_measure_on(owner)?;
        match (text, self.core.config.importance.held_out_batch_size) {
            (Some(PublicText { train, held_out }), Some(batch_size)) => {
                let seed = seed_for(self.core.config.seed, "public text");
                let what = "public_data.text (held-out part)";
                let held_out = held_out.with_batch_size(what, batch_size.get() as usize, seed)?;
                Ok(Some(PublicText { train, held_out }))
            }
            (text, _) => Ok(text),
        }
    }
}
