//! Side: model owner. Takes: importance scores and substitutes. Gives: the layer plan. Plugin kind: replace.
//!
//! Adapter layers are placed first (`outer`: half at each end; `spread`: evenly; `top_score`: the most important), then the
//! replacer chooses `K` of the others.

use crate::artefacts::{PlanArtefact, read_importance};
use crate::error::StageError;
use crate::progress::Progress;
use crate::run::{OwnerRun, Party as _, identity};
use crate::stage::Stage;
use scaleot_plugin_api::{ImportanceScores, LayerRole, ReplaceRequest, StrategyKind};
use scaleot_plugins::ReplacerHandle;
use scaleot_store::VerifiedFolder;
use serde_json::json;

impl OwnerRun<'_> {
    /// Chooses the layers to replace.
    ///
    /// # Errors
    /// The replacer's error, or a config that does not fit the model.
    pub fn replace(&mut self, progress: &mut dyn Progress) -> Result<VerifiedFolder, StageError> {
        let owner = self.model()?;
        let scored = self.core.require(Stage::Importance)?;
        let (artefact, _) = read_importance(&scored)?;
        let ask = self.replace_request(&owner, &artefact.scores)?;
        let parts = json!([identity(&scored), self.core.strategy_inputs(StrategyKind::Replace)?, ask]);
        let inputs = self.core.inputs(Stage::Replace, parts);
        if let Some(done) = self.core.up_to_date(Stage::Replace, &inputs, progress)? {
            return Ok(done);
        }
        self.measure(Stage::Replace, |run| {
            let mut replacer = ReplacerHandle::try_from(run.core.required_strategy(StrategyKind::Replace)?)?;
            run.refuse_equal_scores(&mut replacer, &artefact.scores, &ask)?;
            let plan = replacer.select(&artefact.scores, &ask)?;
            progress.log(&format!("replace: layers {:?} give way", plan.layers_with(LayerRole::Replace)));
            let mut stage = run.core.dir.stage(Stage::Replace.folder().name)?;
            stage.write_json("plan.json", &plan)?;
            Ok(stage.commit(Stage::Replace.head(), &PlanArtefact { inputs, plan })?)
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
        Err(self.core.config.scores_are_equal(*score).into())
    }
}
