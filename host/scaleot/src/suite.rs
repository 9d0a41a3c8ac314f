//! `compare`, `sweep` and `choose`: many runs, one table.

use super::args::{ChooseArgs, ConfigArgs, Global, SuiteArgs};
use super::failure::{ProgramError, stage};
use super::output::{Output, say};
use super::preflight::preflight;
use super::progress::Bars;
use super::signals;
use super::{estimate, machine, needs, session};
use anyhow::Context as _;
use scaleot_config::{KeyPath, RunConfig};
use scaleot_model::ModelConfig;
use scaleot_pipeline::error::StageError;
use scaleot_pipeline::progress::{Progress as _, stop_requested};
use scaleot_pipeline::report::size;
use scaleot_pipeline::run::{read_data, registry};
use scaleot_store::RunDir;
use scaleot_store::exit_code::ExitCode;
use scaleot_suite::{
    Bounds, Cell, Engine, Event, Outcome, Suite, SuiteResult, choose as choose_point, csv_figures, gather, html_report,
};
use scaleot_suite::{View, markdown, terminal};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Runs every cell of a suite that is not finished, then prints and writes the table.
pub fn suite(args: &SuiteArgs, view: View, global: &Global, output: Output) -> anyhow::Result<()> {
    let suite = load(&args.suite, &args.overrides, global)?;
    let cells = suite.cells()?;
    check(&suite, &cells, global)?;
    // Nobody else may work here meanwhile.
    let dir = RunDir::open(&suite.output, None)?;
    signals::install()?;
    let jobs = jobs(args.jobs, &cells)?;
    let mut bars = Bars::new(global.quiet);
    let engine = engine(&suite, jobs, global)?;
    let outcomes = run(&engine, &cells, &mut bars)?;
    drop(bars);
    let failed: BTreeMap<String, String> = (outcomes.iter())
        .filter_map(|(cell, outcome)| match outcome {
            Outcome::Failed { reason, .. } => Some((cell.clone(), reason.clone())),
            _ => None,
        })
        .collect();
    let result = gather(&suite, &title(&args.suite), &cells, &failed);
    let ended = |cell: &&Cell| matches!(outcomes.get(&cell.name), Some(Outcome::Finished | Outcome::Failed { .. }));
    let unfinished = cells.len() - cells.iter().filter(ended).count();
    if unfinished > 0 || stop_requested() {
        return Err(interrupted(&dir, &result, view, (unfinished, cells.len())));
    }
    write(&dir, &result, view)?;
    output.result(&result, || terminal(&result, view))?;
    conclude(&result, &outcomes)
}

/// What is finished is worth a table, whatever comes of the rest.
fn interrupted(dir: &RunDir, result: &SuiteResult, view: View, (left, of): (usize, usize)) -> anyhow::Error {
    let mut message = format!("interrupted with {left} of {of} cells left; the same command continues");
    if !result.cells.is_empty() {
        match write(dir, result, view) {
            Ok(()) => {
                let table = dir.path().join(format!("{}.md", file_name(view)));
                message += &format!("; {} finished in {}", result.cells.len(), table.display());
            }
            Err(error) => message += &format!("; the table of what is finished was not written: {error:#}"),
        }
    }
    ProgramError::Found(message, ExitCode::Interrupted).into()
}

/// Picks a point from what is finished; runs nothing.
pub fn choose(args: &ChooseArgs, global: &Global, output: Output) -> anyhow::Result<()> {
    let suite = load(&args.suite, &args.overrides, global)?;
    let cells = suite.cells()?;
    let result = gather(&suite, &title(&args.suite), &cells, &BTreeMap::new());
    let bounds = Bounds { max_emulator: args.max_emulator, min_plug_in: args.min_plug_in, max_bundle: args.max_bundle };
    let choice = choose_point(&result, bounds);
    output.result(&choice, || choice.page())?;
    match choice.chosen {
        Some(_) => Ok(()),
        None => Err(ProgramError::Said(ExitCode::Usage).into()),
    }
}

/// The configs of a suite's cells.
pub fn configs(args: &SuiteArgs, global: &Global) -> anyhow::Result<Vec<RunConfig>> {
    let cells = load(&args.suite, &args.overrides, global)?.cells()?;
    Ok(cells.into_iter().map(|cell| cell.config).collect())
}

fn load(path: &Path, overrides: &[String], global: &Global) -> anyhow::Result<Suite> {
    if !Suite::is_suite(path) && RunConfig::load(path, &[]).is_ok() {
        let what = format!("{}: found a run config, expected a suite; `scaleot run` takes it", path.display());
        return Err(ProgramError::Usage(what).into());
    }
    let suite = Suite::load(path, &session::overrides(overrides, global)?)?;
    Ok(Suite { pool: global.stage_pool.clone(), ..suite })
}

fn title(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What no cell could do without is refused before the first one runs.
fn check(suite: &Suite, cells: &[Cell], global: &Global) -> anyhow::Result<()> {
    let (mut seen, mut data) = (BTreeSet::new(), BTreeSet::new());
    for cell in cells.iter().filter(|cell| seen.insert((&cell.point, &cell.task))) {
        let index = suite.method.iter().position(|method| method.name == cell.point.method).unwrap_or(0);
        let at = KeyPath::of("method").index(index).key("config");
        let place = format!("{}: method `{}`", suite.places.of(&at), cell.point.label());
        check_cell(&cell.config, &mut data, global).with_context(|| place)?;
    }
    Ok(())
}

/// A cell as `run` checks it; data that several cells have in common is read once.
fn check_cell(config: &RunConfig, data: &mut BTreeSet<String>, global: &Global) -> anyhow::Result<()> {
    let checked = preflight(config, &mut registry(config, &global.plugin_path)?, needs::RUN)?;
    let Some(model) = checked.model else { return Ok(()) };
    let same = serde_json::to_string(&(&config.model.path, &config.data, &config.tune, &config.evaluate))?;
    if data.insert(same) {
        stage(read_data(config, &model))?;
    }
    Ok(())
}

/// Checks every cell of a suite, as far as it can be without work; their configs.
pub fn validate(args: &ConfigArgs, global: &Global) -> anyhow::Result<Vec<RunConfig>> {
    let suite = load(&args.config, &args.overrides, global)?;
    let cells = suite.cells()?;
    check(&suite, &cells, global)?;
    Ok(cells.into_iter().map(|cell| cell.config).collect())
}

/// The words of a verb that takes a run config or a suite.
pub fn args_of(args: &ConfigArgs) -> SuiteArgs {
    SuiteArgs { suite: args.config.clone(), overrides: args.overrides.clone(), jobs: 1 }
}

fn engine(suite: &Suite, jobs: usize, global: &Global) -> anyhow::Result<Engine> {
    let mut arguments = Vec::new();
    for path in &global.plugin_path {
        arguments.extend(["--plugin-path".into(), path.clone().into_os_string()]);
    }
    let program = std::env::current_exe().context("this program's own path")?;
    let threads = (machine::processors() / jobs).max(1);
    Ok(Engine { program, arguments, jobs, threads, layout: suite.layout() })
}

/// As many cells side by side as were asked for, and as memory has room for.
fn jobs(asked: usize, cells: &[Cell]) -> anyhow::Result<usize> {
    let asked = asked.clamp(1, cells.len().max(1));
    let (Some(available), true) = (machine::available_memory(), asked > 1) else { return Ok(asked) };
    let mut peak = 0;
    let mut seen = BTreeSet::new();
    for cell in cells.iter().filter(|cell| seen.insert(&cell.point)) {
        let model = ModelConfig::read(&cell.config.model.path).map_err(StageError::from)?;
        // A config that does not fit its model fails when its cell runs, with its own words.
        let Ok(budget) = cell.config.validate_against(u32::try_from(model.layers).unwrap_or(u32::MAX)) else {
            continue;
        };
        let parameters = estimate::parameters(&model, &budget);
        let stages = estimate::memory(&cell.config, &model, &parameters, &budget);
        peak = stages.iter().map(|stage| stage.bytes).max().unwrap_or(0).max(peak);
    }
    let fit = usize::try_from(available / peak.max(1)).unwrap_or(usize::MAX).max(1);
    if fit < asked {
        let (peak, available) = (size(peak), size(available));
        say(&format!("{fit} jobs instead of {asked}: a cell needs up to {peak}, and {available} is available"));
    }
    Ok(fit.min(asked))
}

fn run(engine: &Engine, cells: &[Cell], bars: &mut Bars) -> anyhow::Result<BTreeMap<String, Outcome>> {
    bars.begin("cells", cells.len() as u64);
    let mut done = 0;
    let outcomes = engine.run(cells, &mut |event| match event {
        Event::Begun { cell } => bars.log(&format!("[{cell}] begins")),
        Event::Said { cell, line } => bars.log(&format!("[{cell}] {line}")),
        Event::Ended { cell, outcome } => {
            done += 1;
            bars.log(&format!(
                "[{cell}] {}",
                match outcome {
                    Outcome::Finished => "finished",
                    Outcome::Failed { .. } => "failed",
                    Outcome::Interrupted => "interrupted",
                }
            ));
            bars.at(done, cell);
        }
    })?;
    bars.end("");
    Ok(outcomes)
}

fn file_name(view: View) -> &'static str {
    match view {
        View::Compare => "compare",
        View::Sweep => "sweep",
    }
}

fn write(dir: &RunDir, result: &SuiteResult, view: View) -> anyhow::Result<()> {
    let name = file_name(view);
    let files = [
        ("json", serde_json::to_vec_pretty(result)?),
        ("md", markdown(result, view).into_bytes()),
        ("csv", csv_figures(result)?),
    ];
    let files = files.map(|(extension, bytes)| (format!("{name}.{extension}"), bytes));
    let page = ("report.html".to_owned(), html_report(result, view)?.into_bytes());
    for (name, bytes) in files.into_iter().chain([page]) {
        let mut file = dir.file(&name)?;
        file.put(&bytes)?;
        file.commit()?;
    }
    Ok(())
}

/// Missing cells are an error, told after the table.
fn conclude(result: &SuiteResult, outcomes: &BTreeMap<String, Outcome>) -> anyhow::Result<()> {
    let Some(first) = result.missing.first() else { return Ok(()) };
    let code = match outcomes.get(&first.cell) {
        Some(Outcome::Failed { code, .. }) => exit_code(*code),
        _ => ExitCode::Refused,
    };
    let all = result.missing.len() + result.cells.len();
    say(&format!("error: {} of {all} cells are missing:", result.missing.len()));
    result.missing.iter().for_each(|missing| say(&format!("  {}: {}", missing.cell, missing.reason)));
    Err(ProgramError::Said(code).into())
}

/// The code of a cell becomes the suite's; one that was killed wanted something that the machine does not have.
fn exit_code(code: Option<i32>) -> ExitCode {
    use ExitCode::{Bug, Numeric, Plugin, Refused, Resources, Usage};
    let known = [Usage, Refused, Plugin, Resources, Numeric, Bug];
    known.into_iter().find(|known| code == Some(i32::from(*known as u8))).unwrap_or(Resources)
}
