//! Results of earlier stages, as the model owner's later stages take them.

use super::core::identity;
use super::owner::{OwnerModel, OwnerRun};
use crate::artefacts::{Emulator, FULLY_TUNED_LAYERS, Ledger, TensorFile, TrainArtefact, install_layers, put_back};
use crate::delta::{self, VerifiedReturn};
use crate::error::StageError;
use crate::load::load_tokenizer;
use crate::mixture::PublicText;
use crate::seed::seed_for;
use crate::stage::Stage;
use scaleot_data::{TextOptions, TextWindows};
use scaleot_model::Decoder;
use scaleot_store::VerifiedFolder;
use std::path::Path;

/// The results that the owner's training starts from.
pub(crate) struct TrainUpstream {
    /// Of the importance stage.
    pub(crate) scored: VerifiedFolder,
    /// Of the replace stage.
    pub(crate) planned: VerifiedFolder,
}

/// The windows of public text in one batch, and the seed of their order.
#[derive(Clone, Copy)]
pub(crate) struct TextOrder {
    pub(crate) batch_size: usize,
    pub(crate) seed: u64,
}

impl OwnerRun<'_> {
    /// Nineteen windows of twenty train, the rest judges; the same split for every batch size and seed.
    pub(crate) fn public_text(&self, owner: &OwnerModel, order: TextOrder) -> Result<Option<PublicText>, StageError> {
        let TextOrder { batch_size, seed } = order;
        let files = &self.core.config.public_data.text;
        if files.is_empty() {
            return Ok(None);
        }
        let tokenizer = load_tokenizer(&self.core.config.model.path, owner.model.decoder.config.vocabulary)?;
        let block_length = (self.core.config.public_data.block_length as usize).min(owner.model.decoder.config.context);
        let options = TextOptions { block_length, batch_size, seed };
        let (train, held_out) = TextWindows::read_split(files, &tokenizer, options, 20)?;
        Ok(Some(PublicText { train, held_out }))
    }

    /// The same windows as in the importance stage.
    pub(crate) fn text_to_measure_on(&self, owner: &OwnerModel) -> Result<Option<PublicText>, StageError> {
        let seed = seed_for(self.core.config.seed, "public text");
        let batch_size = self.core.config.importance.batch_size.get() as usize;
        self.public_text(owner, TextOrder { batch_size, seed })
    }

    pub(crate) fn train_upstream(&self) -> Result<TrainUpstream, StageError> {
        let (scored, planned) = (self.core.require(Stage::Importance)?, self.core.require(Stage::Replace)?);
        Ok(TrainUpstream { scored, planned })
    }

    /// The trained emulator of this run, made from its present scores and plan; `None` where the config trains nothing.
    pub(crate) fn trained(&self) -> Result<Option<VerifiedFolder>, StageError> {
        if !Stage::Train.is_part_of(&self.core.config) {
            return Ok(None);
        }
        let folder = self.core.require(Stage::Train)?;
        let artefact: TrainArtefact = folder.body()?;
        if artefact.upstream == self.train_upstream()?.identities() {
            return Ok(Some(folder));
        }
        Err(self.core.missing(Stage::Train))
    }

    /// As [`trained`](Self::trained), where kept layers were trained: what compression depends on.
    pub(crate) fn trained_layers(&self) -> Result<Option<VerifiedFolder>, StageError> {
        let Some(folder) = self.trained()? else { return Ok(None) };
        let artefact: TrainArtefact = folder.body()?;
        Ok(Some(folder).filter(|_| !artefact.kept_layers.is_empty()))
    }

    /// The full model as it goes into the emulator: a copy, with the kept layers that were trained.
    pub(crate) fn emulator_source(
        &self,
        owner: &OwnerModel,
        trained: Option<&VerifiedFolder>,
    ) -> Result<Decoder, StageError> {
        let mut decoder = owner.model.decoder.clone();
        if let Some(folder) = trained {
            install_layers(folder, &mut decoder)?;
        }
        Ok(decoder)
    }

    /// The compressed weights; `None` where the config compresses nothing.
    pub(crate) fn compressed(&self) -> Result<Option<VerifiedFolder>, StageError> {
        let is_part = Stage::Compress.is_part_of(&self.core.config);
        is_part.then(|| self.core.require(Stage::Compress)).transpose()
    }

    /// The ledger of this run's bundle.
    pub(crate) fn ledger(&self) -> Result<Ledger, StageError> {
        Ledger::read(&self.core.require_record(Stage::Bundle)?)
    }

    /// The full model with a verified return in it.
    ///
    /// # Errors
    /// The first check that the return fails.
    pub fn plugged(&mut self, returned: &Path) -> Result<(Decoder, VerifiedReturn), StageError> {
        let owner = self.model()?;
        let ledger = self.ledger()?;
        if ledger.model != owner.fingerprint.to_string() {
            return Err(StageError::InvalidArtefact {
                path: self.core.config.model.path.display().to_string(),
                what: "fingerprint of the model".into(),
                found: owner.fingerprint.to_string(),
                expected: format!("{}, the model that the bundle was cut from", ledger.model),
            });
        }
        let emulator = Emulator::open(&self.core.path_of(Stage::Bundle), self.core.placement)?;
        let limit = self.core.config.plug_in.max_delta_ratio.get();
        let verified = delta::verify(returned, &emulator, limit)?;
        let mut decoder = owner.model.decoder.clone();
        delta::plug_in(&mut decoder, &verified, &|slot| ledger.layer_of_slot.get(slot).copied())?;
        Ok((decoder, verified))
    }

    /// The full model with the layers of full fine-tuning.
    pub(crate) fn fully_tuned(&mut self) -> Result<Decoder, StageError> {
        let owner = self.model()?;
        let folder = self.core.require(Stage::FullTuning)?;
        let file = TensorFile::open(&folder.file(FULLY_TUNED_LAYERS)?)?;
        let mut decoder = owner.model.decoder.clone();
        let layers: Vec<usize> = (0..decoder.slots.len()).collect();
        put_back(&file, &mut decoder, &layers)?;
        Ok(decoder)
    }
}

impl TrainUpstream {
    /// The identities of both.
    pub(crate) fn identities(&self) -> [String; 2] {
        [identity(&self.scored), identity(&self.planned)]
    }
}
