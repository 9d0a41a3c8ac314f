//! The needs of each verb, in one table: the keys and paths, and the sections whose strategies it uses.

use super::args::BenchVerb;
use scaleot_config::{Column, ConfigNeed, RunConfig, StrategyKind};

/// Keys, paths and strategies that a verb is about to use: refused by key before anything is computed.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// The verb's name, for messages.
    pub verb: &'static str,
    pub config: &'static [ConfigNeed],
    pub strategies: &'static [StrategyKind],
}

/// Every kind, for verbs that need them all.
pub const ALL: &[StrategyKind] =
    &[StrategyKind::Importance, StrategyKind::Replace, StrategyKind::Compress, StrategyKind::Adapter];

use ConfigNeed::{Data, Evaluate, Model, PublicText, Replaced};
use StrategyKind::{Adapter, Compress, Importance, Replace};

const fn needs(verb: &'static str, config: &'static [ConfigNeed], strategies: &'static [StrategyKind]) -> Needs {
    Needs { verb, config, strategies }
}

// Both parties.
pub const RUN: Needs = needs("run", &[Model, Data, Replaced, PublicText, Evaluate], ALL);
// The model owner.
pub const PLAN: Needs = needs("plan", &[Model, Replaced, PublicText, Evaluate], ALL);
pub const IMPORTANCE: Needs = needs("importance", &[Model, PublicText], &[Importance, Replace]);
pub const REPLACE: Needs = needs("replace", &[Model, Replaced], &[Replace]);
pub const TRAIN: Needs = needs("train", &[Model, Replaced, PublicText], &[Replace]);
pub const COMPRESS: Needs = needs("compress", &[Model, PublicText], &[Compress]);
pub const BUNDLE: Needs = needs("bundle", &[Model], &[Adapter]);
pub const PLUG_IN: Needs = needs("plug-in", &[Model], &[]);
pub const FULL_TUNING: Needs = needs("full-tuning", &[Model, Data], &[]);
pub const EXPORT: Needs = needs("export", &[Model], &[]);
// The data owner.
pub const TUNE: Needs = needs("tune", &[Data], &[Adapter]);
/// As [`TUNE`], on a bundle from elsewhere and without a word on the adapter: the bundle says what trains.
const TUNE_AS_THE_BUNDLE_SAYS: Needs = needs("tune", &[Data], &[]);
// Either.
const EVALUATE: Needs = needs("evaluate", &[Model, Evaluate], &[]);
/// As [`EVALUATE`], of columns that need the emulator alone.
const EVALUATE_EMULATOR: Needs = needs("evaluate", &[Evaluate], &[]);
pub const REPORT: Needs = needs("report", &[], &[]);
const BENCH_TUNE: Needs = needs("bench tune", &[Model, Data, Replaced, PublicText], ALL);
const BENCH_COMPRESS: Needs = needs("bench compress", &[Model, Replaced, PublicText], ALL);

/// The needs of `tune`.
pub fn tune(config: &RunConfig, from_elsewhere: bool) -> Needs {
    if from_elsewhere && config.names_no_adapter() { TUNE_AS_THE_BUNDLE_SAYS } else { TUNE }
}

/// The needs of `evaluate`.
pub fn evaluate(config: &RunConfig) -> Needs {
    let of_emulator = |column: &Column| matches!(column, Column::Emulator | Column::EmulatorTuned);
    if config.evaluate.columns.iter().all(of_emulator) { EVALUATE_EMULATOR } else { EVALUATE }
}

/// The needs of a benchmark.
pub fn bench(verb: &BenchVerb) -> Needs {
    match verb {
        BenchVerb::Tune(_) => BENCH_TUNE,
        BenchVerb::Compress(_) => BENCH_COMPRESS,
    }
}
