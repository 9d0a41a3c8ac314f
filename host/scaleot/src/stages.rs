//! `run`, and each stage as a verb of its own. The order of the stages is the pipeline's matter.

use super::args::{ConfigArgs, EvaluateArgs, Global, PlugInArgs, TuneArgs, Verb};
use super::compression::by_role;
use super::data::check_evaluated;
use super::failure::ProgramError;
use super::needs::{self, Needs};
use super::output::{Output, shown_path};
use super::session::{self, Session};
use scaleot_config::{ConfigError, ConfigNeed, KeyPath, RunConfig};
use scaleot_pipeline::artefacts::CompressionArtefact;
use scaleot_pipeline::error::StageError;
use scaleot_pipeline::progress::Progress as _;
use scaleot_pipeline::report::{self, terminal};
use scaleot_pipeline::run::{DataOwnerRun, OwnerRun};
use scaleot_pipeline::stage::Stage;
use scaleot_pipeline::stages::evaluate;
use scaleot_store::escape::escape;
use scaleot_store::{VerifiedFolder, lies_inside};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Runs a stage, or all of them.
pub fn stage(verb: Verb, global: &Global, output: Output) -> anyhow::Result<()> {
    let open = |args: &ConfigArgs, needs: Needs| Session::open(session::load(args, global)?, global, needs);
    match verb {
        Verb::Run(args) => {
            let config = session::load(&args, global)?;
            config.require(ConfigNeed::Data, needs::RUN.verb)?;
            check_evaluated(&config)?;
            let mut session = Session::open(config, global, needs::RUN)?;
            session.read_data()?;
            let report = session.work(|session| scaleot_pipeline::run_all(&mut session.run, &mut session.bars))?;
            output.result(&report, || terminal(&report))
        }
        Verb::Importance(args) => one(open(&args, needs::IMPORTANCE)?, output, |session| {
            OwnerRun::new(&mut session.run).importance(&mut session.bars)
        }),
        Verb::Replace(args) => one(open(&args, needs::REPLACE)?, output, |session| {
            OwnerRun::new(&mut session.run).replace(&mut session.bars)
        }),
        Verb::Train(args) => {
            let nothing = "train.steps is 0: nothing to do";
            optional(open(&args, needs::TRAIN)?, output, nothing, |session| {
                OwnerRun::new(&mut session.run).train(&mut session.bars)
            })
        }
        Verb::Compress(args) => compress(open(&args, needs::COMPRESS)?, output),
        Verb::Bundle(args) => one(open(&args, needs::BUNDLE)?, output, |session| {
            OwnerRun::new(&mut session.run).bundle(&mut session.bars)
        }),
        Verb::Tune(args) => tune(&args, global, output),
        Verb::PlugIn(args) => plug_in(open(&args.run, needs::PLUG_IN)?, args, output),
        Verb::FullTuning(args) => one(open(&args, needs::FULL_TUNING)?, output, |session| {
            OwnerRun::new(&mut session.run).full_tuning(&mut session.bars)
        }),
        Verb::Evaluate(EvaluateArgs { config: Some(config), overrides, .. }) => {
            let config = session::load(&ConfigArgs { config, overrides }, global)?;
            check_evaluated(&config)?;
            let needs = needs::of_evaluate(&config);
            let mut session = Session::open(config, global, needs)?;
            let report = session.work(|session| {
                evaluate::evaluate(&mut session.run, &mut session.bars)?;
                report::gather(&session.run)
            })?;
            output.result(&report, || terminal(&report))
        }
        Verb::Report(args) => {
            report(Session::open_to_read(session::load(&args, global)?, global, needs::REPORT)?, output)
        }
        // The others were dispatched before.
        _ => Ok(()),
    }
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
    match session.work(|session| OwnerRun::new(&mut session.run).compress(&mut session.bars))? {
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

/// A data owner has a bundle and no model.
fn tune(args: &TuneArgs, global: &Global, output: Output) -> anyhow::Result<()> {
    if let Some(bundle) = args.bundle.as_ref().filter(|bundle| bundle.to_str().is_none()) {
        let (bundle, record) = (bundle.display(), "the record of the run is a config, whose text is UTF-8");
        let what = format!("--bundle {bundle}: the path is not UTF-8, and {record}; name it by a link");
        return Err(ProgramError::Usage(what).into());
    }
    let config = session::load(&args.run, global)?;
    if let Some(bundle) = &args.bundle {
        keep_apart(&config, bundle)?;
    }
    let needs = needs::of_tune(&config, args.bundle.is_some());
    let session = Session::open(config, global, needs)?;
    one(session, output, |session| DataOwnerRun::new(&mut session.run, args.bundle.as_deref())?.tune(&mut session.bars))
}

/// Nothing is written beside the bundle's files.
fn keep_apart(config: &RunConfig, bundle: &Path) -> Result<(), ConfigError> {
    if !lies_inside(&config.output, bundle) {
        return Ok(());
    }
    let key = KeyPath::of("output");
    let problem =
        format!("which is or lies in --bundle (`{}`); choose a folder outside it", escape(&bundle.to_string_lossy()));
    let path = escape(&config.output.to_string_lossy());
    Err(ConfigError::Path { place: config.places().of(&key), key, path, problem })
}

fn plug_in(session: Session, args: PlugInArgs, output: Output) -> anyhow::Result<()> {
    let returned: PathBuf = match args.returned {
        Some(folder) => folder,
        None => session.run.require(Stage::Tune)?.path().to_path_buf(),
    };
    one(session, output, |session| OwnerRun::new(&mut session.run).plug_in(&returned, &mut session.bars))
}
