//! The program `scaleot`: parse, dispatch, and the outcome as a message and an exit status.

mod cli;

use clap::Parser as _;
// The only mention of the built-in plugins: linking them registers them.
use plugin_scaleot as _;

fn main() -> std::process::ExitCode {
    // First of all: libtorch remembers for good whether CUDA was there when it was first asked.
    let backend = host::tensor::load_cuda_backend();
    host::tensor::limit_memory();
    cli::clock::start();
    let args = cli::Args::parse();
    let json = args.global.json;
    cli::failure::conclude(json, move || cli::dispatch(args, backend))
}
