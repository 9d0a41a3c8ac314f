//! The needs of each verb, in one table: the keys and paths, and the sections whose strategies it uses.

use super::args::BenchVerb;
use scaleot_config::{Column, ConfigNeed, RunConfig, StrategyKind};
use scaleot_pipeline::stage::Stage;
use scaleot_pipeline::stages::evaluate::needs_the_model;

/// Keys, paths and strategies that a verb is about to use: refused by key before anything is computed.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// The verb's name, for messages.
    pub verb: &'static str,
    pub config: &'static [ConfigNeed],
    pub strategies: &'static [StrategyKind],
}

/// Every kind, for verbs that need them all.
pub const ALL: &[StrategyKind] = &StrategyKind::ALL;

use ConfigNeed::{Data, Evaluate, Model, PublicText, Replaced};

const fn needs(verb: &'static str, config: &'static [ConfigNeed], strategies: &'static [StrategyKind]) -> Needs {
    Needs { verb, config, strategies }
}

/// The needs of a stage, whose verb and strategies are in the table of the stages.
const fn stage(stage: Stage, config: &'static [ConfigNeed]) -> Needs {
    needs(stage.verb(), config, stage.strategies())
}

// Both parties.
pub const RUN: Needs = needs("run", &[Model, Data, Replaced, PublicText, Evaluate], ALL);
// The model owner.
pub const PLAN: Needs = needs("plan", &[Model, Replaced, PublicText, Evaluate], ALL);
pub const IMPORTANCE: Needs = stage(Stage::Importance, &[Model, PublicText]);
pub const REPLACE: Needs = stage(Stage::Replace, &[Model, Replaced]);
pub const TRAIN: Needs = stage(Stage::Train, &[Model, Replaced, PublicText]);
pub const COMPRESS: Needs = stage(Stage::Compress, &[Model, PublicText]);
pub const BUNDLE: Needs = stage(Stage::Bundle, &[Model]);
pub const PLUG_IN: Needs = stage(Stage::PlugIn, &[Model]);
pub const FULL_TUNING: Needs = stage(Stage::FullTuning, &[Model, Data]);
pub const EXPORT: Needs = needs("export", &[Model], &[]);
// The data owner.
pub const TUNE: Needs = stage(Stage::Tune, &[Data]);
/// As [`TUNE`], on a bundle from elsewhere and without a word on the adapter: the bundle says what trains.
const TUNE_AS_THE_BUNDLE_SAYS: Needs = needs(Stage::Tune.verb(), &[Data], &[]);
// Either.
/// Every column has the same verb.
const COLUMNS: Stage = Stage::Evaluate(Column::ZeroShot);
const EVALUATE: Needs = stage(COLUMNS, &[Model, Evaluate]);
/// As [`EVALUATE`], of columns that need the emulator alone.
const EVALUATE_EMULATOR: Needs = stage(COLUMNS, &[Evaluate]);
pub const REPORT: Needs = needs("report", &[], &[]);
const BENCH_TUNE: Needs = needs("bench tune", &[Model, Data, Replaced, PublicText], ALL);
const BENCH_COMPRESS: Needs = needs("bench compress", &[Model, Replaced, PublicText], ALL);

/// The needs of `tune`.
pub fn tune(config: &RunConfig, from_elsewhere: bool) -> Needs {
    if from_elsewhere && config.names_no_adapter() { TUNE_AS_THE_BUNDLE_SAYS } else { TUNE }
}

/// The needs of `evaluate`.
pub fn evaluate(config: &RunConfig) -> Needs {
    if needs_the_model(config) { EVALUATE } else { EVALUATE_EMULATOR }
}

/// The needs of a benchmark.
pub fn bench(verb: &BenchVerb) -> Needs {
    match verb {
        BenchVerb::Tune(_) => BENCH_TUNE,
        BenchVerb::Compress(_) => BENCH_COMPRESS,
    }
}
