//! The command line's grammar. The doc comments are the help.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args as ClapArgs, Parser, Subcommand};
use scaleot_config::{Precision, Split, Unpinned};
use std::path::PathBuf;

/// Offsite-tuning of language models: tune somebody's model on your data, without either of you handing over what is yours.
#[derive(Debug, Parser)]
#[command(name = "scaleot", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Args {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

const EXIT_CODES: &str = "Exit status: 0 done, 2 usage or config, 3 input refused, 4 plugin, 5 resources, \
                          6 not a finite number, 7 interrupted (the same command continues), 70 a fault of ours";

/// Flags of every verb.
#[derive(Debug, Clone, ClapArgs)]
pub struct Global {
    /// Print one JSON object on stdout, and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// Show no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Device to compute on: cpu, cuda or cuda:N (as runtime.device=…)
    #[arg(long, global = true, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Threads of the tensor engine, 0 for all cores (as runtime.threads=…)
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<u32>,
    /// A folder or file to look for plugins in, before the config's; may be given again
    #[arg(long, global = true, value_name = "PATH")]
    pub plugin_path: Vec<PathBuf>,
    /// Plugins that neither the config nor scaleot.lock pins: refuse or allow (as plugins.unpinned=…)
    #[arg(long, global = true, value_name = "WHAT", value_parser = unpinned())]
    pub unpinned: Option<Unpinned>,
    /// A folder of finished stages: what another run left there is not computed again
    #[arg(long, global = true, value_name = "FOLDER")]
    pub stage_pool: Option<PathBuf>,
}

/// The verbs: owner's, data owner's, then anyone's.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// All stages of both parties on this machine, through real bundles on disk; prints the table
    Run(ConfigArgs),
    /// Model owner: score the layers
    Importance(ConfigArgs),
    /// Model owner: choose the layers to replace
    Replace(ConfigArgs),
    /// Model owner: train the chosen emulator on public text
    Train(ConfigArgs),
    /// Model owner: make the kept layers' weights smaller
    Compress(ConfigArgs),
    /// Model owner: write the emulator bundle
    Bundle(ConfigArgs),
    /// Data owner: tune the adapter on an emulator and write the return
    Tune(TuneArgs),
    /// Model owner: verify a return and put it into the full model
    PlugIn(PlugInArgs),
    /// Model owner: tune all layers of the full model, the upper bound
    FullTuning(ConfigArgs),
    /// Score the columns of a run, or a model or bundle folder by itself
    Evaluate(EvaluateArgs),
    /// The table of a run, from what is finished
    Report(ConfigArgs),
    /// A suite of runs: methods x tasks x seeds in one table, with standard errors and paired tests
    Compare(SuiteArgs),
    /// A suite over a grid: as compare, with the frontier of privacy and utility
    Sweep(SuiteArgs),
    /// The best point of a suite within bounds, from what is finished, and why not the others
    Choose(ChooseArgs),
    /// Model owner: the adapted model, or the emulator, as a Hugging Face folder
    Export(ExportArgs),
    /// Needs of a run: parameters, bundle size, memory, steps; reads headers only
    Plan(ConfigArgs),
    /// Check a bundle or a return to the last byte and say what it is
    Verify(VerifyArgs),
    /// Plugins: what there is, what each takes, whether one works
    #[command(subcommand)]
    Plugin(PluginVerb),
    /// Run configs: check, show with all defaults, JSON Schema
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Checks of this machine for what is needed
    Doctor,
    /// Speed on the work of benches/peer
    #[command(subcommand)]
    Bench(BenchVerb),
    /// A completion script for a shell
    Completions { shell: clap_complete::Shell },
}

/// A run config and what differs from it.
#[derive(Debug, Clone, ClapArgs)]
pub struct ConfigArgs {
    /// The run config, TOML
    pub config: PathBuf,
    /// Keys to set over the file's, such as tune.learning_rate=1e-4
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct SuiteArgs {
    /// The suite, TOML
    pub suite: PathBuf,
    /// Keys to set in every cell, such as evaluate.limit=100; output, tasks and seeds are the suite's
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Cells side by side, as far as memory has room
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    pub jobs: usize,
}

#[derive(Debug, ClapArgs)]
pub struct ChooseArgs {
    /// The suite, TOML
    pub suite: PathBuf,
    /// Keys as they were set for the suite
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Greatest accuracy of the tuned emulator, over all tasks
    #[arg(long, value_name = "ACC", value_parser = share)]
    pub max_emulator: Option<f64>,
    /// Least accuracy of the plugged-in model, over all tasks
    #[arg(long, value_name = "ACC", value_parser = share)]
    pub min_plug_in: Option<f64>,
    /// Greatest size of the bundle, such as 200MB or 190MiB
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub max_bundle: Option<u64>,
}

/// A number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

/// A count that is not 0.
fn at_least_one(text: &str) -> Result<usize, String> {
    let count = text.parse::<usize>().ok().filter(|count| (1..=1 << 32).contains(count));
    count.ok_or_else(|| "expected a whole number of at least 1".to_owned())
}

/// A number of bytes with an optional unit.
fn bytes(text: &str) -> Result<u64, String> {
    let units =
        [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("KB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
    let unit = units.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (number, unit) = unit.unwrap_or((text.strip_suffix('B').unwrap_or(text), 1_u64));
    let number = number.trim().parse::<f64>().ok().filter(|number| (0.0..1e15).contains(number));
    let expected = "expected a size such as 200MB, 190MiB or 4096";
    number.map(|number| (number * unit as f64) as u64).ok_or_else(|| expected.to_owned())
}

/// A parser that takes one of a few words, each the name of a value.
fn one_of<T: Copy + Send + Sync + 'static>(words: Vec<(&'static str, T)>) -> impl TypedValueParser<Value = T> {
    let names: Vec<&'static str> = words.iter().map(|(word, _)| *word).collect();
    PossibleValuesParser::new(names).try_map(move |given| {
        let meant = words.iter().find(|(word, _)| *word == given);
        meant.map(|(_, value)| *value).ok_or_else(|| format!("no value has the name {given}"))
    })
}

fn split() -> impl TypedValueParser<Value = Split> {
    one_of([Split::Train, Split::Validation, Split::Test].map(|split| (split.name(), split)).to_vec())
}

fn precision() -> impl TypedValueParser<Value = Precision> {
    one_of(vec![("fp32", Precision::Fp32), ("bf16", Precision::Bf16), ("fp16", Precision::Fp16)])
}

fn unpinned() -> impl TypedValueParser<Value = Unpinned> {
    one_of([Unpinned::Allow, Unpinned::Refuse].map(|asked| (asked.key(), asked)).to_vec())
}

#[derive(Debug, ClapArgs)]
pub struct TuneArgs {
    #[command(flatten)]
    pub run: ConfigArgs,
    /// The bundle to tune on, instead of the run's own; then model.path is not needed
    #[arg(long, value_name = "FOLDER")]
    pub bundle: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub struct PlugInArgs {
    #[command(flatten)]
    pub run: ConfigArgs,
    /// The return to plug in, instead of the run's own
    #[arg(long = "return", value_name = "FOLDER")]
    pub returned: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
#[command(override_usage = "scaleot evaluate [OPTIONS] <CONFIG> [KEY=VALUE]...\n       \
                            scaleot evaluate [OPTIONS] --model <FOLDER> [--task <NAME>] [--text <FILE>]...")]
pub struct EvaluateArgs {
    /// The run config, TOML
    #[arg(required_unless_present = "model", conflicts_with_all = ["model", "task", "text"])]
    pub config: Option<PathBuf>,
    /// Keys to set over the file's, such as evaluate.limit=100
    #[arg(value_name = "KEY=VALUE", conflicts_with = "model")]
    pub overrides: Vec<String>,
    #[command(flatten)]
    pub bare: BareArgs,
}

/// Evaluation of a folder, without a run.
#[derive(Debug, ClapArgs)]
pub struct BareArgs {
    /// A Hugging Face model folder, or a bundle
    #[arg(long, value_name = "FOLDER")]
    pub model: Option<PathBuf>,
    /// With a bundle: a return to put into its emulator
    #[arg(long = "return", value_name = "FOLDER", requires = "model")]
    pub returned: Option<PathBuf>,
    /// A task of lm-evaluation-harness
    #[arg(long, value_name = "NAME", requires = "model")]
    pub task: Option<String>,
    /// Folder of the tasks' questions; a task file (*.toml) in it is known by its name
    #[arg(long, value_name = "FOLDER", default_value = ".assets/tasks")]
    pub tasks_folder: PathBuf,
    /// Split of the questions
    #[arg(long, default_value = "validation", value_parser = split())]
    pub split: Split,
    /// Only the first N questions or windows
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub limit: Option<usize>,
    /// A text file for perplexity; may be given again
    #[arg(long, value_name = "FILE", requires = "model")]
    pub text: Vec<PathBuf>,
    /// Tokens of one forward pass
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = at_least_one)]
    pub batch_tokens: usize,
    /// The type to compute in; by default fp32 on a CPU, bf16 on a GPU
    #[arg(long, value_name = "TYPE", value_parser = precision())]
    pub dtype: Option<Precision>,
}

#[derive(Debug, ClapArgs)]
pub struct ExportArgs {
    #[command(flatten)]
    pub run: ConfigArgs,
    /// The folder to write; it may not exist yet
    #[arg(long, value_name = "FOLDER")]
    pub to: PathBuf,
    /// Model to write
    #[arg(long, value_enum, default_value = "plug-in")]
    pub what: ExportWhat,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum ExportWhat {
    /// The full model with the run's return in it
    PlugIn,
    /// The run's emulator, if its slots are layers
    Emulator,
    /// The return's low-rank deltas, or its soft prompts, in the layout of the package peft, for the full model
    Peft,
}

#[derive(Debug, ClapArgs)]
pub struct VerifyArgs {
    /// A bundle or a return
    pub path: PathBuf,
    /// For a return: the bundle that it should answer
    #[arg(long, value_name = "FOLDER")]
    pub bundle: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum PluginVerb {
    /// Every plugin in reach, where it comes from and how it stands; loads only what has no manifest
    List,
    /// A plugin's strategies and their options, from its manifest if it has one
    Info { name: String },
    /// Load a plugin and try every promise of the contract
    Check { name: String },
    /// Write a crate for a new plugin, which builds and passes its tests at once
    New(NewArgs),
    /// Describe a library in a scaleot-plugin.toml beside it, to hand over
    Pack(PackArgs),
    /// Copy a packed plugin into the project's folder, or the user's; loads nothing
    Add(AddArgs),
    /// Remove a plugin that was added
    Remove(RemoveArgs),
    /// Write the plugin files that a config may load into scaleot.lock beside it
    Lock(LockArgs),
}

#[derive(Debug, ClapArgs)]
pub struct NewArgs {
    /// Lower-case letters, digits and dashes
    pub name: String,
    /// Kind of its strategy
    #[arg(long, value_enum)]
    pub kind: KindArg,
    /// The folder to write, by default ./NAME; it may not exist yet
    #[arg(long, value_name = "FOLDER")]
    pub path: Option<PathBuf>,
    /// Source of the plugin API: a checkout of ScaleOT, a git URL with an optional #REVISION, or a published version
    #[arg(long, value_name = "PATH|URL")]
    pub api: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum KindArg {
    Importance,
    Replace,
    Compress,
    Adapter,
}

#[derive(Debug, ClapArgs)]
pub struct PackArgs {
    /// The built library
    pub library: PathBuf,
    /// Publisher that stands for it
    #[arg(long, value_name = "NAME")]
    pub publisher: String,
    /// As in Cargo's license, such as Apache-2.0
    #[arg(long, value_name = "SPDX")]
    pub license: String,
    /// Publication of the method
    #[arg(long, value_name = "REFERENCE")]
    pub paper: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub struct AddArgs {
    /// A packed library, or the folder that it and its manifest are in
    pub plugin: PathBuf,
    /// For all of this user's projects
    #[arg(long)]
    pub user: bool,
}

#[derive(Debug, ClapArgs)]
pub struct RemoveArgs {
    pub name: String,
    /// From the user's folder
    #[arg(long)]
    pub user: bool,
}

#[derive(Debug, ClapArgs)]
pub struct LockArgs {
    #[command(flatten)]
    pub run: ConfigArgs,
}

#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Check a config, its paths and its strategies
    Validate(ConfigArgs),
    /// The effective config, every key with the value that counts
    Show(ConfigArgs),
    /// The JSON Schema of a config
    Schema,
}

#[derive(Debug, Subcommand)]
pub enum BenchVerb {
    /// Adapter tuning steps in file order, timed after two steps of warm-up
    Tune(BenchTuneArgs),
    /// Compression of the kept layers, read but not written, timed after a first pass
    Compress(ConfigArgs),
}

#[derive(Debug, ClapArgs)]
pub struct BenchTuneArgs {
    #[command(flatten)]
    pub run: ConfigArgs,
    /// Steps whose time counts
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub steps: u64,
    /// Steps before the clock starts
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=1_000_000_000))]
    pub warmup: u64,
}
