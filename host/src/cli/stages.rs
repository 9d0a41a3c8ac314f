//! `run`, and each stage as a verb of its own. The order of the stages is the pipeline's matter.

use super::args::{ConfigArgs, EvaluateArgs, Global, PlugInArgs, TuneArgs, Verb};
use super::compression::by_role;
use super::data::check_evaluated;
use super::failure::ProgramError;
use super::output::{Output, shown_path};
use super::session::{self, Needs, Session};
use super::strategies;
use host::config::{PathNeed, StrategyKind};
use host::pipeline::compress::CompressionArtefact;
use host::pipeline::error::StageError;
use host::pipeline::progress::Progress as _;
use host::pipeline::report::{self, terminal};
use host::pipeline::tune::RETURN;
use host::pipeline::{self, run::Run};
use host::store::VerifiedFolder;
use serde_json::{Value, json};
use std::path::PathBuf;

const fn needs(paths: &'static [PathNeed], strategies: &'static [StrategyKind]) -> Needs {
    Needs { paths, strategies }
}

const RUN: Needs = needs(&[PathNeed::Model, PathNeed::Data, PathNeed::PublicText, PathNeed::Evaluate], strategies::ALL);
const IMPORTANCE: Needs =
    needs(&[PathNeed::Model, PathNeed::PublicText], &[StrategyKind::Importance, StrategyKind::Replace]);
const REPLACE: Needs = needs(&[PathNeed::Model], &[StrategyKind::Replace]);
const TRAIN: Needs = needs(&[PathNeed::Model, PathNeed::PublicText], &[StrategyKind::Replace]);
const COMPRESS: Needs = needs(&[PathNeed::Model], &[StrategyKind::Compress]);
const BUNDLE: Needs = needs(&[PathNeed::Model], &[StrategyKind::Adapter]);
const TUNE: Needs = needs(&[PathNeed::Data], &[StrategyKind::Adapter]);
const PLUG_IN: Needs = needs(&[PathNeed::Model], &[]);
const FULL_TUNING: Needs = needs(&[PathNeed::Model, PathNeed::Data], &[]);
const EVALUATE: Needs = needs(&[PathNeed::Model, PathNeed::Evaluate], &[]);
const REPORT: Needs = needs(&[], &[]);

/// The config of a stage's verb, and what the verb is about to use.
pub fn config_of(verb: &Verb) -> Option<(ConfigArgs, Needs)> {
    let (args, needs) = match verb {
        Verb::Run(args) => (args, RUN),
        Verb::Importance(args) => (args, IMPORTANCE),
        Verb::Replace(args) => (args, REPLACE),
        Verb::Train(args) => (args, TRAIN),
        Verb::Compress(args) => (args, COMPRESS),
        Verb::Bundle(args) => (args, BUNDLE),
        Verb::Tune(args) => return Some((tuned(args), TUNE)),
        _ => return None,
    };
    Some((args.clone(), needs))
}

/// Runs a stage, or all of them.
pub fn stage(verb: Verb, global: &Global, output: Output) -> anyhow::Result<()> {
    let open = |args: &ConfigArgs, needs| Session::open(session::load(args, global)?, global, needs);
    match verb {
        Verb::Run(args) => {
            let mut session = open_table(&args, global, RUN)?;
            let report = session.work(|session| pipeline::run_all(&mut session.run, &mut session.bars))?;
            output.result(&report, || terminal(&report))
        }
        Verb::Importance(args) => {
            one(open(&args, IMPORTANCE)?, output, |session| session.run.importance(&mut session.bars))
        }
        Verb::Replace(args) => one(open(&args, REPLACE)?, output, |session| session.run.replace(&mut session.bars)),
        Verb::Train(args) => {
            let nothing = "train.steps is 0: nothing to do";
            optional(open(&args, TRAIN)?, output, nothing, |session| session.run.train(&mut session.bars))
        }
        Verb::Compress(args) => compress(open(&args, COMPRESS)?, output),
        Verb::Bundle(args) => one(open(&args, BUNDLE)?, output, |session| session.run.bundle(&mut session.bars)),
        Verb::Tune(args) => tune(&args, global, output),
        Verb::PlugIn(args) => plug_in(open(&args.run, PLUG_IN)?, args, output),
        Verb::FullTuning(args) => {
            one(open(&args, FULL_TUNING)?, output, |session| session.run.full_tuning(&mut session.bars))
        }
        Verb::Evaluate(EvaluateArgs { config: Some(config), overrides, .. }) => {
            let mut session = open_table(&ConfigArgs { config, overrides }, global, EVALUATE)?;
            let report = session.work(|session| {
                session.run.evaluate(&mut session.bars)?;
                report::gather(&session.run)
            })?;
            output.result(&report, || terminal(&report))
        }
        Verb::Report(args) => report(Session::open_to_read(session::load(&args, global)?, global, REPORT)?, output),
        // The others were dispatched before.
        _ => Ok(()),
    }
}

/// Opens the run of a verb that ends in a table.
fn open_table(args: &ConfigArgs, global: &Global, needs: Needs) -> anyhow::Result<Session> {
    let config = session::load(args, global)?;
    check_evaluated(&config)?;
    Session::open(config, global, needs)
}

/// The page of a run; kept beside what it tells where the folder can be written.
fn report(mut session: Session, output: Output) -> anyhow::Result<()> {
    let report = report::gather(&session.run)?;
    match report::keep(&session.run, &report) {
        Err(StageError::Store(error)) if error.is_closed_place() => {
            session.bars.log(&format!("the report is printed only: {error}"));
        }
        kept => kept?,
    }
    output.result(&report, || terminal(&report))
}

/// A stage with one artefact.
fn one(
    mut session: Session,
    output: Output,
    work: impl FnOnce(&mut Session) -> Result<VerifiedFolder, StageError>,
) -> anyhow::Result<()> {
    let done = session.work(work)?;
    artefact(&done, output)
}

fn artefact(done: &VerifiedFolder, output: Output) -> anyhow::Result<()> {
    output.result(&described(done), || headline(done))
}

fn described(done: &VerifiedFolder) -> Value {
    let manifest = done.manifest();
    json!({
        "format": manifest.format, "folder": shown_path(done.path()), "identity": manifest.identity(), "bytes": bytes(done),
        "body": manifest.body,
    })
}

fn headline(done: &VerifiedFolder) -> String {
    let manifest = done.manifest();
    let (folder, identity) = (done.path().display(), manifest.identity());
    format!("{} in {folder}\nidentity {identity}, {}", manifest.format, report::size(bytes(done)))
}

fn bytes(done: &VerifiedFolder) -> u64 {
    done.manifest().files.values().map(|file| file.size).sum()
}

fn compress(mut session: Session, output: Output) -> anyhow::Result<()> {
    match session.work(|session| session.run.compress(&mut session.bars))? {
        Some(done) => {
            let artefact: CompressionArtefact = done.body()?;
            output.result(&described(&done), || format!("{}\n{}", headline(&done), by_role(&artefact.layers)))
        }
        None => output.result(&json!({ "format": null }), || "the config has no [compress]: nothing to do".to_owned()),
    }
}

/// A stage that a config may leave out; `nothing` says so.
fn optional(
    mut session: Session,
    output: Output,
    nothing: &str,
    work: impl FnOnce(&mut Session) -> Result<Option<VerifiedFolder>, StageError>,
) -> anyhow::Result<()> {
    match session.work(work)? {
        Some(done) => artefact(&done, output),
        None => output.result(&json!({ "format": null }), || nothing.to_owned()),
    }
}

fn tune(args: &TuneArgs, global: &Global, output: Output) -> anyhow::Result<()> {
    if let Some(bundle) = args.bundle.as_ref().filter(|bundle| bundle.to_str().is_none()) {
        let (bundle, record) = (bundle.display(), "the record of the run is a config, whose text is UTF-8");
        let what = format!("--bundle {bundle}: the path is not UTF-8, and {record}; name it by a link");
        return Err(ProgramError::Usage(what).into());
    }
    let session = Session::open(session::load(&tuned(args), global)?, global, TUNE)?;
    one(session, output, |session| session.run.tune(args.bundle.as_deref(), &mut session.bars))
}

/// A data owner has no model. The bundle stands for it, so that nothing is written beside the bundle's files.
fn tuned(args: &TuneArgs) -> ConfigArgs {
    let mut run = args.run.clone();
    // Quoted: a folder may be called `2024` or `true`.
    let path = |bundle: &PathBuf| format!("model.path={}", toml::Value::from(bundle.display().to_string()));
    run.overrides.extend(args.bundle.iter().map(path));
    run
}

fn plug_in(session: Session, args: PlugInArgs, output: Output) -> anyhow::Result<()> {
    let returned: PathBuf = match args.returned {
        Some(folder) => folder,
        None => own_return(&session.run)?,
    };
    one(session, output, |session| session.run.plug_in(&returned, &mut session.bars))
}

/// The run's own return, or the verb that makes it.
pub fn own_return(run: &Run) -> Result<PathBuf, StageError> {
    match run.dir.completed("return", RETURN)? {
        Some(folder) => Ok(folder.path().to_path_buf()),
        None => {
            Err(StageError::Missing { run: run.dir.path().display().to_string(), artefact: "return", verb: "tune" })
        }
    }
}
