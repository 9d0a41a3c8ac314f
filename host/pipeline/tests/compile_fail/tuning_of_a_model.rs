//! Tuning takes an emulator, not the decoder of a model.

use scaleot_pipeline::progress::Progress;
use scaleot_pipeline::run::OwnerModel;
use scaleot_pipeline::stages::tune::{Tuning, tune};
use scaleot_store::Checkpoints;

fn tune_the_model(owner: &OwnerModel, tuning: Tuning<'_>, kept: &Checkpoints<'_>, progress: &mut dyn Progress) {
    let _ = tune(&owner.model.decoder, tuning, kept, progress);
}

fn main() {}
