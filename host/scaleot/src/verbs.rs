//! The verbs in one table: the function that does a verb's work, and the plugins that it may load.

use super::args::{BenchVerb, ConfigArgs, ConfigVerb, EvaluateArgs, PluginVerb, SuiteArgs, Verb};
use super::call::Call;
use super::failure::VerbResult;
use super::needs::{self, ALL};
use super::{bench, completions, config, doctor, evaluate, export, plan, plugin, stages, suite, verify};
use scaleot_config::StrategyKind;
use scaleot_suite::Suite;
use scaleot_suite::View;

/// The plugin libraries that a verb may load.
pub enum Plugins<'a> {
    /// No library.
    Nothing,
    /// Every one in reach.
    InReach,
    /// The one of this name.
    Named(&'a str),
    /// Those that a run config names for these kinds.
    OfConfig(&'a ConfigArgs, &'static [StrategyKind]),
    /// Those that the cells of a suite name.
    OfSuite(SuiteArgs),
}

/// The work of a verb.
type Work<'a> = Box<dyn FnOnce(&Call<'_>) -> VerbResult<()> + 'a>;

/// A row of the table.
pub struct Row<'a> {
    pub plugins: Plugins<'a>,
    /// True where the verb is refused on a libtorch that is not ours.
    pub needs_libtorch: bool,
    pub work: Work<'a>,
}

impl<'a> Row<'a> {
    fn new(plugins: Plugins<'a>, work: impl FnOnce(&Call<'_>) -> VerbResult<()> + 'a) -> Self {
        Self { plugins, needs_libtorch: true, work: Box::new(work) }
    }

    fn without_libtorch(self) -> Self {
        Self { needs_libtorch: false, ..self }
    }
}

/// The row of a verb.
pub fn row(verb: &Verb) -> Row<'_> {
    use Plugins::{InReach, Named, Nothing, OfConfig, OfSuite};
    match verb {
        Verb::Run(args) => Row::new(OfConfig(args, ALL), |call| stages::run(args, call)),
        Verb::Importance(args) => {
            Row::new(OfConfig(args, needs::IMPORTANCE.strategies), |call| stages::importance(args, call))
        }
        Verb::Replace(args) => Row::new(OfConfig(args, needs::REPLACE.strategies), |call| stages::replace(args, call)),
        Verb::Train(args) => Row::new(OfConfig(args, needs::TRAIN.strategies), |call| stages::train(args, call)),
        Verb::Compress(args) => {
            Row::new(OfConfig(args, needs::COMPRESS.strategies), |call| stages::compress(args, call))
        }
        Verb::Bundle(args) => Row::new(OfConfig(args, needs::BUNDLE.strategies), |call| stages::bundle(args, call)),
        Verb::Tune(args) => Row::new(OfConfig(&args.run, needs::TUNE.strategies), |call| stages::tune(args, call)),
        Verb::PlugIn(args) => Row::new(Nothing, |call| stages::plug_in(args, call)),
        Verb::FullTuning(args) => Row::new(Nothing, |call| stages::full_tuning(args, call)),
        Verb::Evaluate(EvaluateArgs { config: Some(config), overrides, .. }) => {
            let args = ConfigArgs { config: config.clone(), overrides: overrides.clone() };
            Row::new(Nothing, move |call| stages::evaluate(&args, call))
        }
        Verb::Evaluate(args) => Row::new(Nothing, |call| evaluate::evaluate(&args.bare, call.global, call.output)),
        Verb::Report(args) => Row::new(Nothing, |call| stages::report(args, call)),
        Verb::Compare(args) => {
            Row::new(OfSuite(args.clone()), |call| suite::suite(args, View::Compare, call.global, call.output))
        }
        Verb::Sweep(args) => {
            Row::new(OfSuite(args.clone()), |call| suite::suite(args, View::Sweep, call.global, call.output))
        }
        Verb::Choose(args) => Row::new(Nothing, |call| suite::choose(args, call.global, call.output)),
        Verb::Export(args) => Row::new(Nothing, |call| export::export(args, call.global, call.output)),
        Verb::Plan(args) => Row::new(OfConfig(args, ALL), |call| plan::plan(args, call.global, call.output)),
        Verb::Verify(args) => Row::new(Nothing, |call| verify::verify(args, call.output)),
        Verb::Plugin(verb) => {
            let plugins = match verb {
                PluginVerb::List => InReach,
                PluginVerb::Info { name } | PluginVerb::Check { name } => Named(name),
                _ => Nothing,
            };
            Row::new(plugins, |call| plugin::plugin(verb, call.global, call.output))
        }
        Verb::Config(verb) => {
            let plugins = match verb {
                ConfigVerb::Validate(args) if Suite::is_suite(&args.config) => OfSuite(suite::args_of(args)),
                ConfigVerb::Validate(args) => OfConfig(args, ALL),
                ConfigVerb::Show(_) | ConfigVerb::Schema => Nothing,
            };
            Row::new(plugins, |call| config::config(verb, call.global, call.output)).without_libtorch()
        }
        Verb::Doctor => {
            Row::new(InReach, |call| doctor::doctor(&call.backend, call.global, call.output)).without_libtorch()
        }
        Verb::Bench(verb) => {
            let (BenchVerb::Tune(super::args::BenchTuneArgs { run, .. }) | BenchVerb::Compress(run)) = verb;
            Row::new(OfConfig(run, ALL), |call| bench::bench(verb, call.global, call.output))
        }
        Verb::Completions { shell } => {
            Row::new(Nothing, |call| completions::completions(*shell, call.output)).without_libtorch()
        }
    }
}
