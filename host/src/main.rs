//! The program `scaleot`: parse, dispatch, and the outcome as a message and an exit status.

mod cli;

use clap::Parser as _;
// The only mention of the built-in plugins: linking them registers them.
use plugin_scaleot as _;

fn main() -> std::process::ExitCode {
    cli::spin::give_place_back();
    cli::clock::start();
    let args = match cli::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return cli::failure::not_understood(&error),
    };
    // Forks, so there may be no thread and no tensor yet.
    if let Some(over) = cli::isolate::watched_over(&args) {
        return over;
    }
    // libtorch remembers for good whether CUDA was there when it was first asked.
    let backend = host::tensor::load_cuda_backend();
    host::tensor::limit_memory();
    cli::output::keep_stdout();
    let json = args.global.json;
    cli::failure::conclude(json, move || cli::dispatch(args, backend))
}
