//! Collects what a run's artefacts say into one record; what is missing stays missing.

use crate::artefacts::{ColumnResult, Figure, ReturnArtefact};
use crate::error::StageError;
use crate::run::{Costs, PluginUsed, RunCore};
use crate::stage::Stage;
use scaleot_config::{Column, StrategyKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One metric of one task over the columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Task, or `text`.
    pub task: String,
    /// `acc`, `acc_norm`, `answer_loss`, `nll`.
    pub metric: String,
    /// By column key.
    pub figures: BTreeMap<String, Figure>,
    /// Plug-in minus emulator-tuned, sign turned for losses.
    pub gap: Option<f64>,
}

/// The record of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Folder name of the model.
    pub model: String,
    /// Strategies by kind, as `plugin/strategy`.
    pub strategies: BTreeMap<String, String>,
    /// The plugins behind them by kind, by digest; where they lay is in the run folder alone.
    #[serde(default)]
    pub plugins: BTreeMap<String, PluginUsed>,
    /// SHA-256 of the effective config.
    pub config: String,
    /// Column keys, in order.
    pub columns: Vec<String>,
    /// Metrics by task.
    pub rows: Vec<Row>,
    /// Bytes of the bundle.
    pub bundle_bytes: Option<u64>,
    /// Values that the data owner trained.
    pub trainable: Option<u64>,
    /// Steps that the data owner took, and the step of the best validation.
    pub tuning_steps: Option<(u64, u64)>,
    /// Cost of each stage.
    pub costs: Costs,
}

/// True where a larger value of a metric is better.
pub fn higher_is_better(metric: &str) -> bool {
    !matches!(metric, "answer_loss" | "nll")
}

/// Collects the record.
///
/// # Errors
/// A damaged artefact.
pub fn gather(run: &RunCore) -> Result<Report, StageError> {
    let mut results: Vec<ColumnResult> = Vec::new();
    for column in &run.config.evaluate.columns {
        if let Some(folder) = run.completed(Stage::Evaluate(*column).folder())? {
            results.push(folder.body()?);
        }
    }
    let bundle_bytes = run
        .completed(Stage::Bundle.folder())?
        .map(|folder| folder.manifest().files.values().map(|file| file.size).sum());
    let returned: Option<ReturnArtefact> =
        run.completed(Stage::Tune.folder())?.map(|folder| folder.body()).transpose()?;
    let folder = &run.config.model.path;
    Ok(Report {
        model: folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        strategies: strategies(run),
        plugins: (run.plugins_used().0.into_iter())
            .map(|(kind, used)| (kind, PluginUsed { path: None, ..used }))
            .collect(),
        config: run.config.digest()?.to_string(),
        columns: results.iter().map(|result| result.column.key().to_owned()).collect(),
        rows: rows(&results),
        bundle_bytes,
        trainable: returned.as_ref().map(|returned| returned.trainable),
        tuning_steps: returned.map(|returned| (returned.log.steps, returned.log.best_step)),
        costs: run.costs().clone(),
    })
}

fn strategies(run: &RunCore) -> BTreeMap<String, String> {
    let kinds = [StrategyKind::Importance, StrategyKind::Replace, StrategyKind::Compress, StrategyKind::Adapter];
    let named = kinds.into_iter().filter_map(|kind| Some((kind.as_str().to_owned(), run.config.strategy(kind)?.0)));
    named.map(|(kind, name)| (kind, name.to_string())).collect()
}

fn rows(results: &[ColumnResult]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for result in results {
        let text = result.text.as_ref().map(|text| ("text", "nll", text.nll));
        let tasks = result.tasks.iter().flat_map(|task| {
            task.figures.iter().map(|(metric, figure)| (task.task.as_str(), metric.as_str(), *figure))
        });
        for (task, metric, figure) in tasks.chain(text) {
            let at = rows.iter().position(|row| row.task == task && row.metric == metric).unwrap_or_else(|| {
                rows.push(Row { task: task.into(), metric: metric.into(), figures: BTreeMap::new(), gap: None });
                rows.len() - 1
            });
            if let Some(row) = rows.get_mut(at) {
                row.figures.insert(result.column.key().to_owned(), figure);
            }
        }
    }
    rows.iter_mut().for_each(|row| row.gap = gap(row));
    rows
}

fn gap(row: &Row) -> Option<f64> {
    let mean = |column: Column| row.figures.get(column.key()).map(|figure| figure.mean);
    let difference = mean(Column::PlugIn)? - mean(Column::EmulatorTuned)?;
    Some(if higher_is_better(&row.metric) { difference } else { -difference })
}
