//! The stages of offsite-tuning and the two parties who run them. What passes between stages is an artefact on disk.

pub mod error;
pub mod progress;
pub mod seed;
pub mod stage;

pub mod evaluation;
pub mod load;
pub mod artefacts;
pub mod training;
pub mod objective;
pub mod mixture;
pub mod delta;
pub mod services;

pub mod run;
pub mod stages;
pub mod report;

use error::StageError;
use progress::Progress;
use report::Report;
use run::{OwnerRun, RunCore};
use stage::Stage;

/// Both parties' parts on one machine, one after the other, through real bundles on disk. A finished stage is left as it is.
///
/// # Errors
/// The first stage's that fails; what is finished stays finished.
pub fn run_all(core: &mut RunCore, progress: &mut dyn Progress) -> Result<Report, StageError> {
    let mut owner = OwnerRun::new(core);
    for stage in Stage::of_run(&owner.core().config).collect::<Vec<_>>() {
        run_stage(&mut owner, stage, progress)?;
    }
    report::write(owner.core())
}

/// One stage on the owner's machine; the data owner's too, on this run's own bundle.
///
/// # Errors
/// The stage's.
pub fn run_stage(owner: &mut OwnerRun<'_>, stage: Stage, progress: &mut dyn Progress) -> Result<(), StageError> {
    match stage {
        Stage::Importance => owner.importance(progress).map(drop),
        Stage::Replace => owner.replace(progress).map(drop),
        Stage::Train => owner.train(progress).map(drop),
        Stage::Compress => owner.compress(progress).map(drop),
        Stage::Bundle => owner.bundle(progress).map(drop),
        Stage::Tune => owner.data_owner()?.tune(progress).map(drop),
        Stage::PlugIn => owner.plug_in(&owner.core().path_of(Stage::Tune), progress).map(drop),
        Stage::FullTuning => owner.full_tuning(progress).map(drop),
        Stage::Evaluate(column) => owner.column(column, progress).map(drop),
    }
}
