//! Each verb handed to the file that does it.

use crate::args::{Args, EvaluateArgs, Verb};
use crate::output::Output;
use crate::{bench, config, doctor, evaluate, export, failure, plan, plugin, stages, suite, verify};
use clap::CommandFactory as _;
use scaleot_suite::View;
use scaleot_tensor::{TensorError, check_libtorch_version};

/// Runs the verb that was asked for. `backend` says whether the CUDA half of libtorch was there and could be loaded.
pub fn dispatch(args: Args, backend: Result<bool, TensorError>) -> anyhow::Result<()> {
    let Args { global, verb } = args;
    let output = Output { json: global.json };
    match verb {
        Verb::Doctor => return doctor::doctor(&backend, &global, output),
        Verb::Completions { shell } => return completions(shell, output),
        Verb::Config(verb) => return config::config(&verb, &global, output),
        _ => {}
    }
    failure::stage(check_libtorch_version())?;
    failure::stage(backend)?;
    match verb {
        Verb::Plan(args) => plan::plan(&args, &global, output),
        Verb::Export(args) => export::export(&args, &global, output),
        Verb::Verify(args) => verify::verify(&args, output),
        Verb::Plugin(verb) => plugin::plugin(&verb, &global, output),
        Verb::Compare(args) => suite::suite(&args, View::Compare, &global, output),
        Verb::Sweep(args) => suite::suite(&args, View::Sweep, &global, output),
        Verb::Choose(args) => suite::choose(&args, &global, output),
        Verb::Bench(verb) => bench::bench(&verb, &global, output),
        Verb::Evaluate(EvaluateArgs { config: None, bare, .. }) => evaluate::evaluate(&bare, &global, output),
        verb => stages::stage(verb, &global, output),
    }
}

fn completions(shell: clap_complete::Shell, output: Output) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "scaleot", &mut script);
    let script = String::from_utf8_lossy(&script);
    let value = serde_json::json!({ "shell": shell.to_string(), "script": script });
    output.result(&value, || script.trim_end().to_owned())
}
