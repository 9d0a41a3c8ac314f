//! The results of a finished cell in its run folder: its columns with every question, its stages, its bundle's size.
//!
//! A folder counts only if its report was written with the cell's present config: leftovers of another never reach a table.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::cells::{Cell, Layout};
use super::result::{CellRecord, StageRecord};
use super::statistics::Values;
use scaleot_config::RunConfig;
use scaleot_pipeline::artefacts::{ColumnResult, ReturnArtefact};
use scaleot_pipeline::run::{Cost, RECORD};
use scaleot_pipeline::stage::{Stage, StageFolder};
use scaleot_store::{Digest, Manifest, StagePool, StoreError, VerifiedFolder};

/// A cell with its results.
#[derive(Debug)]
pub(crate) struct Finished<'a> {
    pub cell: &'a Cell,
    pub record: CellRecord,
    /// By column key.
    pub columns: BTreeMap<&'static str, Scored>,
}

/// One column of a cell.
#[derive(Debug)]
pub(crate) struct Scored {
    pub result: ColumnResult,
    /// Each question's value by metric; of the cell's task.
    pub questions: BTreeMap<String, Values>,
}

/// A line of `samples_<task>.jsonl`, as far as it matters here.
#[derive(Deserialize)]
struct SampleLine {
    doc_id: usize,
    id: String,
    acc: f64,
    acc_norm: f64,
    answer_loss: f64,
}

/// Reads a cell's folder.
///
/// # Errors
/// A sentence that says why the cell has no result.
pub(crate) fn read<'a>(cell: &'a Cell, layout: &Layout) -> Result<Finished<'a>, String> {
    let folder = layout.run(&cell.name);
    check_present(cell, &folder)?;
    let wanted = cell.config.evaluate.columns.iter().map(|column| (column.key(), *column));
    let mut columns = BTreeMap::new();
    for (key, column) in BTreeMap::from_iter(wanted) {
        let scores = read_scores(cell, &folder, Stage::Evaluate(column).folder()).map_err(to_message)?;
        columns.insert(key, scores);
    }
    let manifest = |stage: Stage| Manifest::read(&folder.join(stage.folder().name), stage.head()).map_err(to_message);
    let (bundle, returned) = (manifest(Stage::Bundle)?, manifest(Stage::Tune)?);
    let returned = ReturnArtefact::deserialize(&returned.body).map_err(|error| error.to_string())?;
    let record = CellRecord {
        cell: cell.name.clone(),
        point: cell.point.label(),
        task: cell.task.clone(),
        seed: cell.seed,
        folder: folder.display().to_string(),
        bundle_bytes: Some(bundle.files.values().map(|file| file.size).sum()),
        trainable: Some(returned.trainable),
        stages: stages(cell, &folder, layout),
    };
    Ok(Finished { cell, record, columns })
}

/// True if the report in a folder is of this config.
fn check_present(cell: &Cell, folder: &Path) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Report {
        config: String,
    }
    let path = folder.join(RECORD);
    let text = std::fs::read_to_string(&path).map_err(|_| "not run yet".to_owned())?;
    let report = std::fs::read(folder.join("report.json")).ok();
    let report: Option<Report> = report.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if report.is_none_or(|report| report.config != Digest::of(text.as_bytes()).to_string()) {
        return Err("not finished".to_owned());
    }
    let ran = RunConfig::parse(&path, &text, &[]).map_err(|error| error.to_string())?;
    let differences = cell.config.differences(&ran).map_err(|error| error.to_string())?;
    // Where and on how many threads something ran is no part of what came of it.
    let own = |key: &str| !["runtime.", "plugins."].iter().any(|section| key.starts_with(section));
    match differences.into_iter().find(|difference| own(&difference.key.to_string())) {
        Some(difference) => Err(format!("not run since {difference}")),
        None => Ok(()),
    }
}

fn read_scores(cell: &Cell, run: &Path, folder: StageFolder) -> Result<Scored, StoreError> {
    let verified = Manifest::verify(&run.join(folder.name), folder.head)?;
    let result: ColumnResult = verified.body()?;
    Ok(Scored { questions: questions(&verified, &format!("samples_{}.jsonl", cell.task))?, result })
}

fn questions(folder: &VerifiedFolder, name: &str) -> Result<BTreeMap<String, Values>, StoreError> {
    let path = folder.file(name)?;
    let text = std::fs::read_to_string(&path).map_err(|source| StoreError::read(&path, source))?;
    let mut questions: BTreeMap<String, Values> = BTreeMap::new();
    for line in text.lines() {
        let sample: SampleLine = serde_json::from_str(line)
            .map_err(|error| StoreError::ManifestShape { path: path.clone(), problem: error.to_string() })?;
        // The number keeps questions apart, the name tells whether two runs mean the same question.
        let question = format!("{:08} {}", sample.doc_id, sample.id);
        let values = [("acc", sample.acc), ("acc_norm", sample.acc_norm), ("answer_loss", sample.answer_loss)];
        for (metric, value) in values {
            questions.entry(metric.to_owned()).or_default().insert(question.clone(), value);
        }
    }
    Ok(questions)
}

/// The stages that a cell rests on.
fn stages(cell: &Cell, folder: &Path, layout: &Layout) -> Vec<StageRecord> {
    let pool = StagePool::open(&layout.pool).ok();
    let record = |stage: Stage| {
        let name = stage.record().name;
        let manifest = Manifest::of(&folder.join(name)).ok()?;
        let inputs = manifest.body.get("inputs")?.as_str()?.to_owned();
        let cost = pool.as_ref().and_then(|pool| Cost::noted(pool, name, &inputs));
        Some(StageRecord { stage: stage.label().to_owned(), inputs, seconds: cost.map(|cost| cost.seconds) })
    };
    Stage::of_run(&cell.config).filter_map(record).collect()
}

fn to_message(error: impl std::fmt::Display) -> String {
    error.to_string()
}
