//! A verb handed to the function that the table names.

use crate::args::Args;
use crate::call::Call;
use crate::failure::{VerbResult, stage};
use crate::output::Output;
use crate::verbs::row;
use scaleot_tensor::{TensorError, check_libtorch_version};

/// Runs the verb that was asked for. `backend` says whether the CUDA half of libtorch was there and could be loaded.
pub fn dispatch(args: &Args, backend: Result<bool, TensorError>) -> VerbResult<()> {
    let row = row(&args.verb);
    let mut call = Call { global: &args.global, output: Output { json: args.global.json }, backend };
    if row.needs_libtorch {
        stage(check_libtorch_version())?;
        call.backend = Ok(stage(call.backend)?);
    }
    (row.work)(&call)
}
