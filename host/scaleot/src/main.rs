//! The program `scaleot`: parse, dispatch, and the outcome as a message and an exit status.

mod args;
mod bench;
mod call;
mod clock;
mod completions;
mod compression;
mod conclusion;
mod config;
mod data;
mod dispatch;
mod doctor;
mod estimate;
mod evaluate;
mod export;
mod failure;
mod isolate;
mod key_place;
mod machine;
mod needs;
mod output;
mod plan;
mod plugin;
mod preflight;
mod progress;
mod score;
mod session;
mod signals;
mod spin;
mod stages;
mod strategies;
mod suite;
mod verbs;
mod verify;

use clap::Parser as _;
// The only mention of the built-in plugins: linking them registers them.
use plugin_scaleot as _;

fn main() -> std::process::ExitCode {
    spin::give_place_back();
    signals::hear();
    clock::start();
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return conclusion::not_understood(&error),
    };
    // Forks, so there may be no thread and no tensor yet.
    if let Some(over) = isolate::watch_work(&args) {
        return over;
    }
    // libtorch remembers for good whether CUDA was there when it was first asked.
    let backend = scaleot_tensor::load_cuda_backend();
    scaleot_tensor::limit_memory();
    output::keep_stdout();
    let json = args.global.json;
    conclusion::conclude(json, move || dispatch::dispatch(&args, backend))
}
