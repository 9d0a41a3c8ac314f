//! Side: model owner. Takes: the full model and (context, answer) pairs. Gives: every layer tuned, the upper bound of the table.
//! Plugin kind: none.

use crate::artefacts::{FULLY_TUNED_LAYERS, Parameter, write_tensors};
use crate::error::StageError;
use crate::load::load_tokenizer;
use crate::progress::Progress;
use crate::run::{OwnerRun, Party as _};
use crate::stage::Stage;
use crate::training::{self, CHECKPOINT, FinalState, TrainingInputs, attach, read_pairs, train_settings};
use scaleot_model::Decoder;
use scaleot_plugin_api::{AdapterModule, AdapterPart};
use scaleot_store::{Checkpoints, VerifiedFolder};
use scaleot_tensor::Tensor;
use serde_json::json;

impl OwnerRun<'_> {
    /// Tunes every transformer layer of the full model: the upper bound of the table.
    ///
    /// # Errors
    /// As the data owner's tuning.
    pub fn full_tuning(&mut self, progress: &mut dyn Progress) -> Result<VerifiedFolder, StageError> {
        let owner = self.model()?;
        let section = self.core.config.full_tuning.clone();
        let subject = owner.fingerprint.to_string();
        let inputs = self.core.inputs(Stage::FullTuning, json!([subject, self.core.training_inputs(&section)?]));
        if let Some(done) = self.core.up_to_date(Stage::FullTuning, &inputs, progress)? {
            return Ok(done);
        }
        self.measure(Stage::FullTuning, |run| {
            let mut decoder = owner.model.decoder.clone();
            let parameters = whole_layers(&mut decoder)?;
            let tokenizer = load_tokenizer(&run.core.config.model.path, decoder.config.vocabulary)?;
            let pairs = read_pairs(&run.core.config, &section, &tokenizer, decoder.config.context)?;
            let settings = train_settings(&section, pairs.train.batches_per_epoch());
            let checkpoints = Checkpoints::new(&run.core.dir, Stage::FullTuning.label(), CHECKPOINT, &inputs);
            let work = TrainingInputs {
                decoder: &decoder,
                parameters: parameters.iter().map(|parameter| parameter.tensor.clone()).collect(),
                train: pairs.train.as_ref(),
                validation: pairs.validation.as_ref(),
                settings,
                loss: None,
                state: FinalState::Best,
            };
            let log = training::train(work, None, &checkpoints, Stage::FullTuning, progress)?;
            let mut stage = run.core.dir.stage(Stage::FullTuning.folder().name)?;
            let tensors: Vec<(String, Tensor)> =
                parameters.iter().map(|p| (p.name.clone(), p.tensor.clone())).collect();
            write_tensors(&mut stage, FULLY_TUNED_LAYERS, &tensors)?;
            let done = stage.commit(Stage::FullTuning.head(), &json!({ "inputs": inputs, "log": log }))?;
            checkpoints.clear()?;
            Ok(done)
        })
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
