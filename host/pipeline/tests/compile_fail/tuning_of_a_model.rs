//! Tuning takes an emulator, not the decoder of a model.

use scaleot_pipeline::artefacts::Emulator;
use scaleot_pipeline::error::StageError;
use scaleot_pipeline::progress::Progress;
use scaleot_pipeline::run::OwnerModel;
use scaleot_pipeline::stages::tune::{Tuned, Tuning, tune};
use scaleot_store::Checkpoints;

type Tune = fn(&Emulator, Tuning<'_>, &Checkpoints<'_>, &mut dyn Progress) -> Result<Tuned, StageError>;

fn tune_the_model(owner: &OwnerModel, tuning: Tuning<'_>, kept: &Checkpoints<'_>, progress: &mut dyn Progress) {
    let tune: Tune = tune;
    let _ = tune(&owner.model.decoder, tuning, kept, progress);
}

fn main() {}
