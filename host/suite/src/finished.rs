//! The results of a finished cell in its run folder: its columns with every question, its stages, its bundle's size.
//!
//! A folder counts only if its report was written with the cell's present config: leftovers of another never reach a table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::cells::{Cell, Layout};
use super::result::{CellRecord, StageRecord};
use super::statistics::Values;
use scaleot_config::{Column, RunConfig};
use scaleot_pipeline::bundle;
use scaleot_pipeline::run::{COLUMN, ColumnResult, Cost, RECORD, stage_of};
use scaleot_pipeline::tune::{RETURN, ReturnArtefact};
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
    let wanted: BTreeSet<&'static str> = cell.config.evaluate.columns.iter().map(|column| column.key()).collect();
    let mut columns = BTreeMap::new();
    for key in wanted {
        columns.insert(
            key,
            read_scores(cell, &folder.join(format!("evaluate-{}", key.replace('_', "-")))).map_err(to_message)?,
        );
    }
    let bundle = Manifest::read(&folder.join("bundle"), bundle::HEAD).map_err(to_message)?;
    let returned = Manifest::read(&folder.join("return"), RETURN).map_err(to_message)?;
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

fn read_scores(cell: &Cell, folder: &Path) -> Result<Scored, StoreError> {
    let verified = Manifest::verify(folder, COLUMN)?;
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

/// The stages that a cell rests on; the names are those of the stages' verbs.
fn stages(cell: &Cell, folder: &Path, layout: &Layout) -> Vec<StageRecord> {
    let config = &cell.config;
    let mut names = vec!["importance".to_owned(), "replace".to_owned()];
    names.extend((config.train.steps > 0).then(|| "train".to_owned()));
    names.extend(config.compress.as_ref().map(|_| "compress".to_owned()));
    names.extend(["ledger", "tuning", "plug_in"].map(str::to_owned));
    let columns = &config.evaluate.columns;
    names.extend(columns.contains(&Column::FullTuning).then(|| "full_tuning".to_owned()));
    names.extend(columns.iter().map(|column| format!("evaluate-{}", column.key().replace('_', "-"))));
    let pool = StagePool::open(&layout.pool).ok();
    let record = |name: String| {
        let manifest = Manifest::of(&folder.join(&name)).ok()?;
        let inputs = manifest.body.get("inputs")?.as_str()?.to_owned();
        let cost = pool.as_ref().and_then(|pool| Cost::noted(pool, &name, &inputs));
        Some(StageRecord { stage: stage_of(&name).to_owned(), inputs, seconds: cost.map(|cost| cost.seconds) })
    };
    names.into_iter().filter_map(record).collect()
}

fn to_message(error: impl std::fmt::Display) -> String {
    error.to_string()
}
