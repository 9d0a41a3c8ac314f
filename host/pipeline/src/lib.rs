//! The stages, in order. This file alone knows the order; what passes between stages is an artefact on disk.

pub mod error;
pub mod progress;
pub mod tensor_file;

pub mod load;
pub mod objective;
pub mod importance;
pub mod replace;
pub mod train;
pub mod compress;
pub mod bundle;
pub mod tune;
pub mod plug_in;
pub mod evaluate;
pub mod report;

pub mod run;

use error::StageError;
use progress::Progress;
use report::Report;
use run::Run;
use scaleot_config::Column;

/// Both parties' parts on one machine, through real bundles on disk. A finished stage is left as it is.
///
/// # Errors
/// The first stage's that fails; what is finished stays finished.
pub fn run_all(run: &mut Run, progress: &mut dyn Progress) -> Result<Report, StageError> {
    run.importance(progress)?;
    run.replace(progress)?;
    run.train(progress)?;
    run.compress(progress)?;
    run.bundle(progress)?;
    run.tune(None, progress)?;
    let returned = run.folder("return");
    run.plug_in(&returned, progress)?;
    if run.config.evaluate.columns.contains(&Column::FullTuning) {
        run.full_tuning(progress)?;
    }
    run.evaluate(progress)?;
    report::write(run)
}
