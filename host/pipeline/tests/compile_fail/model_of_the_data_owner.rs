//! The data owner's side of a run has no way to the model.

use scaleot_pipeline::run::DataOwnerRun;

fn peek(run: &mut DataOwnerRun<'_>) {
    let _ = run.model();
}

fn main() {}
