//! From the cells of a suite to its record: rows by point, task and metric; gaps; paired tests; the frontier.

use std::collections::{BTreeMap, BTreeSet};

use super::cells::{Cell, PointKey};
use super::file::Suite;
use super::finished::{Finished, read};
use super::frontier;
use super::result::{Comparison, Missing, Point, PointRow, StageRecord, Standing, SuiteResult, Summary};
use super::statistics::{Values, average, differences, estimate, holm, paired_test, summary};
use scaleot_config::Column;
use scaleot_pipeline::evaluation::Estimate;
use scaleot_pipeline::report::higher_is_better;
use scaleot_pipeline::stage::Stage;

/// The metrics by which plugged-in models are compared.
const COMPARED: [&str; 2] = ["acc", "answer_loss"];
/// The metric of the frontier.
const STANDING: &str = "acc";

/// Reads every cell and puts the record together; `failed` says of cells why they did not finish.
pub fn gather(suite: &Suite, title: &str, cells: &[Cell], failed: &BTreeMap<String, String>) -> SuiteResult {
    let layout = suite.layout();
    let (mut finished, mut missing) = (Vec::new(), Vec::new());
    for cell in cells {
        let outcome = match failed.get(&cell.name) {
            Some(reason) => Err(reason.clone()),
            None => read(cell, &layout),
        };
        match outcome {
            Ok(done) => finished.push(done),
            Err(reason) => missing.push(Missing {
                cell: cell.name.clone(),
                point: cell.point.label(),
                task: cell.task.clone(),
                seed: cell.seed,
                reason,
            }),
        }
    }
    let mut keys: Vec<&PointKey> = Vec::new();
    cells.iter().for_each(|cell| {
        if !keys.contains(&&cell.point) {
            keys.push(&cell.point);
        }
    });
    let mut points: Vec<Point> = keys.iter().map(|key| point(suite, key, &finished, &missing)).collect();
    frontier::mark(&mut points);
    SuiteResult {
        suite: title.to_owned(),
        tasks: suite.tasks.clone(),
        seeds: suite.seeds.clone(),
        columns: columns(&finished),
        points,
        comparisons: comparisons(suite, &keys, &finished),
        seconds: seconds(finished.iter()).unwrap_or(0.0),
        cells: finished.into_iter().map(|done| done.record).collect(),
        missing,
    }
}

/// The columns that some cell has, in the order of the table.
fn columns(finished: &[Finished<'_>]) -> Vec<String> {
    let of_stage = |stage: Stage| match stage {
        Stage::Evaluate(column) => Some(column.key()),
        _ => None,
    };
    let has = |key: &str| finished.iter().any(|done| done.columns.contains_key(key));
    Stage::ALL.into_iter().filter_map(of_stage).filter(|key| has(key)).map(str::to_owned).collect()
}

fn point(suite: &Suite, key: &PointKey, finished: &[Finished<'_>], missing: &[Missing]) -> Point {
    let label = key.label();
    let own: Vec<&Finished<'_>> = finished.iter().filter(|done| done.cell.point == *key).collect();
    let rows: Vec<PointRow> = suite.tasks.iter().flat_map(|task| rows(task, &own)).collect();
    let whole = !missing.iter().any(|missing| missing.point == label);
    Point {
        bundle_bytes: own.iter().filter_map(|done| done.record.bundle_bytes).max(),
        seconds: seconds(own.iter().copied()),
        standing: if whole { standing(suite, &rows) } else { None },
        key: key.clone(),
        label,
        rows,
        dominated_by: Vec::new(),
    }
}

/// Wall time of distinct stages; none where nothing is known.
fn seconds<'f>(cells: impl Iterator<Item = &'f Finished<'f>>) -> Option<f64> {
    let stages = cells.flat_map(|done| &done.record.stages);
    let each: BTreeMap<(&str, &str), f64> = stages
        .filter_map(|StageRecord { stage, inputs, seconds }| Some(((stage.as_str(), inputs.as_str()), (*seconds)?)))
        .collect();
    (!each.is_empty()).then(|| each.values().sum())
}

/// The rows of one task: its metrics in the order of their names.
fn rows(task: &str, cells: &[&Finished<'_>]) -> Vec<PointRow> {
    let cells: Vec<&&Finished<'_>> = cells.iter().filter(|done| done.cell.task == task).collect();
    let figures = |done: &Finished<'_>, key: &str| -> BTreeMap<String, Estimate> {
        let Some(scored) = done.columns.get(key) else { return BTreeMap::new() };
        let own = scored.result.tasks.iter().filter(|result| result.task == task);
        let own = own.flat_map(|result| result.figures.iter().map(|(metric, figure)| (metric.clone(), *figure)));
        let text = scored.result.text.iter().map(|text| ("nll".to_owned(), text.nll));
        own.chain(text).map(|(metric, f)| (metric, Estimate { mean: f.mean, stderr: f.stderr, n: f.n })).collect()
    };
    let keys: BTreeSet<&'static str> = cells.iter().flat_map(|done| done.columns.keys().copied()).collect();
    let mut rows: BTreeMap<String, PointRow> = BTreeMap::new();
    for key in keys {
        let models = models(&cells, &[key]);
        let mut by_metric: BTreeMap<String, Vec<Estimate>> = BTreeMap::new();
        for done in &cells {
            figures(done, key).into_iter().for_each(|(metric, one)| by_metric.entry(metric).or_default().push(one));
        }
        for (metric, seeds) in by_metric {
            let Some(summary) = summary(&seeds, models) else { continue };
            let empty =
                || PointRow { task: task.to_owned(), metric: metric.clone(), figures: BTreeMap::new(), gap: None };
            rows.entry(metric.clone()).or_insert_with(empty).figures.insert(key.to_owned(), summary);
        }
    }
    rows.values_mut().for_each(|row| row.gap = gap(&row.metric, &cells));
    rows.into_values().collect()
}

/// Different models of these columns over the cells.
fn models(cells: &[&&Finished<'_>], keys: &[&str]) -> usize {
    let inputs = |done: &&&Finished<'_>| -> Vec<String> {
        keys.iter().filter_map(|key| Some(done.columns.get(key)?.result.inputs.clone())).collect()
    };
    cells.iter().map(inputs).filter(|inputs| inputs.len() == keys.len()).collect::<BTreeSet<_>>().len()
}

/// Plug-in over emulator-tuned: per seed the mean of the questions' differences.
fn gap(metric: &str, cells: &[&&Finished<'_>]) -> Option<Summary> {
    let (plug_in, tuned) = (Column::PlugIn.key(), Column::EmulatorTuned.key());
    let sign = if higher_is_better(metric) { 1.0 } else { -1.0 };
    let values = |done: &Finished<'_>| -> Option<Estimate> {
        let questions = |key: &str| done.columns.get(key)?.questions.get(metric);
        estimate(&differences(questions(plug_in)?, questions(tuned)?, sign)?)
    };
    let seeds: Vec<Estimate> = cells.iter().filter_map(|done| values(done)).collect();
    summary(&seeds, models(cells, &[plug_in, tuned]))
}

/// Mean accuracies over all tasks; none unless every task has both.
fn standing(suite: &Suite, rows: &[PointRow]) -> Option<Standing> {
    let mean = |column: Column| -> Option<f64> {
        let row = |task: &String| rows.iter().find(|row| row.task == *task && row.metric == STANDING);
        let means: Option<Vec<f64>> =
            suite.tasks.iter().map(|task| Some(row(task)?.figures.get(column.key())?.mean)).collect();
        Some(Estimate::of(&means?)?.mean)
    };
    Some(Standing { emulator_tuned: mean(Column::EmulatorTuned)?, plug_in: mean(Column::PlugIn)? })
}

/// Every pair of points on every task.
fn comparisons(suite: &Suite, keys: &[&PointKey], finished: &[Finished<'_>]) -> Vec<Comparison> {
    let mut all = Vec::new();
    for (task, metric) in suite.tasks.iter().flat_map(|task| COMPARED.map(|metric| (task, metric))) {
        let mut family = Vec::new();
        for (index, first) in keys.iter().enumerate() {
            let others = keys.iter().skip(index + 1);
            family.extend(others.filter_map(|second| comparison(task, metric, [first, second], finished)));
        }
        let p: Vec<Option<f64>> = family.iter().map(|pair: &Comparison| pair.p).collect();
        family.iter_mut().zip(holm(&p)).for_each(|(pair, p_holm)| pair.p_holm = p_holm);
        all.append(&mut family);
    }
    all
}

/// Two points on the seeds that both have.
fn comparison(task: &str, metric: &str, pair: [&PointKey; 2], finished: &[Finished<'_>]) -> Option<Comparison> {
    let of = |key: &PointKey| -> BTreeMap<u64, &Values> {
        let own = finished.iter().filter(|done| done.cell.point == *key && done.cell.task == task);
        let values = |done| Finished::columns_of(done, Column::PlugIn.key())?.get(metric);
        own.filter_map(|done| Some((done.cell.seed, values(done)?))).collect()
    };
    let [first, second] = pair;
    let (a, b) = (of(first), of(second));
    let seeds: Vec<u64> = a.keys().filter(|seed| b.contains_key(seed)).copied().collect();
    let mean = |of: &BTreeMap<u64, &Values>| {
        average(&seeds.iter().filter_map(|seed| of.get(seed).copied()).collect::<Vec<_>>())
    };
    let test = paired_test(&differences(&mean(&a)?, &mean(&b)?, 1.0)?)?;
    Some(Comparison {
        task: task.to_owned(),
        metric: metric.to_owned(),
        first: first.label(),
        second: second.label(),
        questions: test.questions,
        seeds: seeds.len(),
        difference: test.difference,
        stderr: test.stderr,
        t: test.t.map(|(t, _)| t),
        p: test.t.map(|(_, p)| p),
        p_holm: None,
    })
}

impl Finished<'_> {
    /// Each question's value by metric in one column.
    fn columns_of(&self, key: &str) -> Option<&BTreeMap<String, Values>> {
        self.columns.get(key).map(|scored| &scored.questions)
    }
}
