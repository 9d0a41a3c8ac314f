//! The bundle stage of the owner's run.

use super::{BundleInputs, Sent, small_file_inputs, write};
use crate::artefacts::{Ledger, install_compressed, install_substitutes, read_importance, read_plan};
use crate::error::StageError;
use crate::load::{files, is_legal};
use crate::progress::Progress;
use crate::run::{OwnerModel, OwnerRun, Party as _, identity};
use crate::stage::Stage;
use scaleot_plugin_api::{AdapterModule, LayerPlan, LayerRole, StrategyKind};
use scaleot_plugins::AdapterHandle;
use scaleot_plugins::isolation::active_call;
use scaleot_store::VerifiedFolder;
use serde_json::json;

impl OwnerRun<'_> {
    /// Cuts the emulator and writes the bundle, and the owner's ledger of it.
    ///
    /// # Errors
    /// A missing stage, or a full disk.
    pub fn bundle(&mut self, progress: &mut dyn Progress) -> Result<VerifiedFolder, StageError> {
        // The adapter is asked before the stage knows whether it is up to date.
        active_call::stage(Stage::Bundle.label());
        let owner = self.model()?;
        let scored = self.core.require(Stage::Importance)?;
        let planned = self.core.require(Stage::Replace)?;
        let (trained, compressed) = (self.trained()?, self.compressed()?);
        let plan = read_plan(&planned)?.plan;
        let adapters = self.adapter_modules(&owner, &plan)?;
        let upstream = [Some(&scored), Some(&planned), trained.as_ref(), compressed.as_ref()];
        let upstream = upstream.map(|folder| folder.map(identity));
        let small_files = small_file_inputs(&self.core.config.model.path, &self.core.config.bundle)?;
        let inputs =
            self.core.inputs(Stage::Bundle, json!([owner.fingerprint.to_string(), upstream, adapters, small_files]));
        if let Some(ledger) = self.core.up_to_date(Stage::Bundle, &inputs, progress)?
            && let Some(done) = self.bundle_of(&Ledger::read(&ledger)?, progress)?
        {
            return Ok(done);
        }
        self.measure(Stage::Bundle, |run| {
            let (_, mut substitutes) = read_importance(&scored)?;
            if let Some(folder) = &trained {
                install_substitutes(folder, &mut substitutes)?;
            }
            let mut decoder = run.emulator_source(&owner, trained.as_ref())?;
            if let Some(folder) = &compressed {
                install_compressed(folder, &mut decoder)?;
            }
            let folder = run.core.config.model.path.clone();
            let work = BundleInputs {
                decoder: &decoder,
                plan: &plan,
                substitutes: &substitutes,
                adapters: &adapters,
                folder: &folder,
                section: &run.core.config.bundle,
            };
            let (done, sent) = write(run.core.dir.stage(Stage::Bundle.folder().name)?, &work)?;
            progress.log(&format!("bundle: {} of {} layers have a slot", sent.layer_of_slot.len(), plan.layers.len()));
            run.tell_what_leaves(&sent, progress)?;
            let (bundle, model) = (identity(&done), owner.fingerprint.to_string());
            run.core.give(Stage::Bundle, &inputs)?;
            let layer_of_slot = sent.layer_of_slot;
            Ledger { inputs, bundle, model, plan, layer_of_slot }
                .write(run.core.dir.stage(Stage::Bundle.record().name)?)?;
            Ok(done)
        })
    }

    /// A licence often has to go with a model, but it names the model, and so may a chat template: the owner decides, and
    /// should know.
    fn tell_what_leaves(&self, sent: &Sent, progress: &mut dyn Progress) -> Result<(), StageError> {
        let include = &self.core.config.bundle.include;
        let legal = files(&self.core.config.model.path)?.into_iter().filter(|name| is_legal(name));
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
        let done = match self.core.completed(Stage::Bundle.folder())?.filter(fits) {
            Some(done) => Some(done),
            None => self.core.take(Stage::Bundle.folder(), &ledger.inputs, progress)?.filter(fits),
        };
        if done.is_some() {
            self.core.give(Stage::Bundle, &ledger.inputs)?;
        }
        Ok(done)
    }

    fn adapter_modules(&mut self, owner: &OwnerModel, plan: &LayerPlan) -> Result<Vec<AdapterModule>, StageError> {
        let mut adapter = AdapterHandle::try_from(self.core.required_strategy(StrategyKind::Adapter)?)?;
        let layers = plan.layers_with(LayerRole::Adapter).into_iter();
        let outlines = layers.filter_map(|layer| owner.outline.layers.get(layer));
        outlines.map(|outline| Ok(adapter.attach(outline)?)).collect()
    }
}
