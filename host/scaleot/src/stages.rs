//! `run`, and each stage as a verb of its own. The pipeline decides the order of the stages.

use super::args::{ConfigArgs, PlugInArgs, TuneArgs};
use super::call::Call;
use super::compression::by_role;
use super::data::check_evaluated;
use super::failure::{ProgramError, VerbResult};
use super::needs::{self, Needs};
use super::output::{Output, display_path};
use super::session::{self, Session};
use scaleot_config::{ConfigError, ConfigNeed, KeyPath, RunConfig};
use scaleot_pipeline::artefacts::CompressionArtefact;
use scaleot_pipeline::error::StageError;
use scaleot_pipeline::progress::Progress as _;
use scaleot_pipeline::report::{self, terminal};
use scaleot_pipeline::run::{DataOwnerRun, OwnerRun};
use scaleot_pipeline::stage::Stage;
use scaleot_pipeline::stages::evaluate::evaluate as evaluate_columns;
use scaleot_store::escape::escape;
use scaleot_store::{VerifiedFolder, lies_inside};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The run of a verb's config.
fn open(args: &ConfigArgs, call: &Call<'_>, needs: Needs) -> VerbResult<Session> {
    Session::open(session::load(args, call.global)?, call.global, needs)
}

/// All stages of both parties.
pub fn run(args: &ConfigArgs, call: &Call<'_>) -> VerbResult<()> {
    let config = session::load(args, call.global)?;
    config.require(ConfigNeed::Data, needs::RUN.verb)?;
    check_evaluated(&config)?;
    let mut session = Session::open(config, call.global, needs::RUN)?;
    session.read_data()?;
    let report = session.work(|session| scaleot_pipeline::run_all(&mut session.run, &mut session.bars))?;
    call.output.result(&report, || terminal(&report))
}

/// Scores of the layers.
pub fn importance(args: &ConfigArgs, call: &Call<'_>) -> VerbResult<()> {
    one(open(args, call, needs::IMPORTANCE)?, call.output, |session| {
        OwnerRun::new(&mut session.run).importance(&mut session.bars)
    })
}

/// The plan of the layers that give way.
pub fn replace(args: &ConfigArgs, call: &Call<'_>) -> VerbResult<()> {
    one(open(args, call, needs::REPLACE)?, call.output, |session| {
        OwnerRun::new(&mut session.run).replace(&mut session.bars)
    })
}

/// The owner's training, where the config has one.
pub fn train(args: &ConfigArgs, call: &Call<'_>) -> VerbResult<()> {
    let nothing = "the config has no [train]: nothing to do";
    optional(open(args, call, needs::TRAIN)?, call.output, nothing, |session| {
        OwnerRun::new(&mut session.run).train(&mut session.bars)
    })
}

/// The emulator's bundle.
pub fn bundle(args: &ConfigArgs, call: &Call<'_>) -> VerbResult<()> {
    one(open(args, call, needs::BUNDLE)?, call.output, |session| {
        OwnerRun::new(&mut session.run).bundle(&mut session.bars)
    })
}

/// The upper bound: all layers of the full model tuned.
pub fn full_tuning(args: &ConfigArgs, call: &Call<'_>) -> VerbResult<()> {
    one(open(args, call, needs::FULL_TUNING)?, call.output, |session| {
        OwnerRun::new(&mut session.run).full_tuning(&mut session.bars)
    })
}

/// The columns of a run's table.
pub fn evaluate(args: &ConfigArgs, call: &Call<'_>) -> VerbResult<()> {
    let config = session::load(args, call.global)?;
    check_evaluated(&config)?;
    let needs = needs::evaluate(&config);
    let mut session = Session::open(config, call.global, needs)?;
    let report = session.work(|session| {
        evaluate_columns(&mut session.run, &mut session.bars)?;
        report::gather(&session.run)
    })?;
    call.output.result(&report, || terminal(&report))
}

/// Prints the report of a run, and keeps it in the run folder where that can be written.
pub fn report(args: &ConfigArgs, call: &Call<'_>) -> VerbResult<()> {
    let mut session = Session::open_to_read(session::load(args, call.global)?, call.global, needs::REPORT)?;
    let report = report::gather(&session.run)?;
    match report::keep(&session.run, &report) {
        Err(StageError::Store(error)) if error.is_closed_place() => {
            session.bars.log(&format!("the report is printed only: {error}"));
        }
        kept => kept?,
    }
    call.output.result(&report, || terminal(&report))
}

/// A stage with one artefact.
fn one(
    mut session: Session,
    output: Output,
    work: impl FnOnce(&mut Session) -> Result<VerifiedFolder, StageError>,
) -> VerbResult<()> {
    let done = session.work(work)?;
    artefact(&done, output)
}

fn artefact(done: &VerifiedFolder, output: Output) -> VerbResult<()> {
    output.result(&described(done), || headline(done))
}

fn described(done: &VerifiedFolder) -> Value {
    let manifest = done.manifest();
    json!({
        "format": manifest.format, "folder": display_path(done.path()), "identity": manifest.identity(), "bytes": bytes(done),
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

/// Smaller weights of the kept layers, where the config asks for them.
pub fn compress(args: &ConfigArgs, call: &Call<'_>) -> VerbResult<()> {
    let (mut session, output) = (open(args, call, needs::COMPRESS)?, call.output);
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
) -> VerbResult<()> {
    match session.work(work)? {
        Some(done) => artefact(&done, output),
        None => output.result(&json!({ "format": null }), || nothing.to_owned()),
    }
}

/// The return of a data owner, who has a bundle and no model.
pub fn tune(args: &TuneArgs, call: &Call<'_>) -> VerbResult<()> {
    if let Some(bundle) = args.bundle.as_ref().filter(|bundle| bundle.to_str().is_none()) {
        let (bundle, record) = (bundle.display(), "the record of the run is a config, whose text is UTF-8");
        let what = format!("--bundle {bundle}: the path is not UTF-8, and {record}; name it by a link");
        return Err(ProgramError::Usage(what).into());
    }
    let config = session::load(&args.run, call.global)?;
    if let Some(bundle) = &args.bundle {
        keep_apart(&config, bundle)?;
    }
    let needs = needs::tune(&config, args.bundle.is_some());
    let notice = args.bundle.as_ref().and_then(|_| config.notice_of_owners_keys());
    let mut session = Session::open(config, call.global, needs)?;
    if let Some(notice) = notice {
        session.bars.log(&format!("notice: {notice}"));
    }
    one(session, call.output, |session| {
        DataOwnerRun::new(&mut session.run, args.bundle.as_deref())?.tune(&mut session.bars)
    })
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

/// The full model with a return in it.
pub fn plug_in(args: &PlugInArgs, call: &Call<'_>) -> VerbResult<()> {
    let session = open(&args.run, call, needs::PLUG_IN)?;
    let returned: PathBuf = match &args.returned {
        Some(folder) => folder.clone(),
        None => session.run.require(Stage::Tune)?.path().to_path_buf(),
    };
    one(session, call.output, |session| OwnerRun::new(&mut session.run).plug_in(&returned, &mut session.bars))
}
