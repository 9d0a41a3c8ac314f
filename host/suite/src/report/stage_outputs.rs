//! Outputs of the stages of a suite's cells beside their figures: importance scores and the losses of everything that trained.
//!
//! An output that cannot be read has no picture: the figures were checked when the cells were read, and these decide nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use crate::result::{CellRecord, SuiteResult};
use scaleot_pipeline::artefacts::{Curves, TrainingLog};
use scaleot_pipeline::stage::{Stage, StageFolder};
use scaleot_store::Manifest;

/// Losses of mixtures are shown as means over this many parts of the steps: one batch says little.
const PARTS: usize = 25;

/// Everything that there is to draw.
#[derive(Debug, Default)]
pub(super) struct StageOutputs {
    pub(super) scores: Vec<Scores>,
    pub(super) panels: Vec<Panel>,
}

/// Scores that some points share.
#[derive(Debug)]
pub(super) struct Scores {
    /// The names of the points that have them.
    pub(super) title: String,
    pub(super) scores: Vec<f64>,
}

/// Lines under one title.
#[derive(Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) series: Vec<Series>,
}

/// A line of a point.
#[derive(Debug)]
pub(super) struct Series {
    /// Its place in the suite.
    pub(super) point: usize,
    /// Step and loss.
    pub(super) points: Vec<(f64, f64)>,
    /// True for losses on held-out data.
    pub(super) judged: bool,
}

impl StageOutputs {
    /// Reads what the cells of a record outputs.
    pub(super) fn read(result: &SuiteResult) -> Self {
        let mut outputs = Self::default();
        let mut curves = Vec::new();
        for (inputs, points) in points_that_share(result, Stage::Importance) {
            let cell = result.cells.iter().find(|cell| inputs_of(cell, Stage::Importance) == Some(inputs));
            let Some((scores, own)) = cell.and_then(|cell| read_importance(Path::new(&cell.folder))) else { continue };
            // A method that asks for none leaves them all equal.
            if scores.windows(2).all(|pair| matches!(pair, [a, b] if a == b)) {
                continue;
            }
            let title = labels(result, &points);
            curves.extend(mixture_panel(&title, points.first().copied().unwrap_or_default(), &own));
            outputs.scores.push(Scores { title, scores });
        }
        outputs.panels = curves;
        outputs.panels.extend(panel(result, "training by the owner", Stage::Train, None));
        for task in &result.tasks {
            outputs.panels.extend(panel(result, &format!("tuning on {task}"), Stage::Tune, Some(task)));
        }
        outputs
    }
}

/// The digest of what a stage of a cell was made from.
fn inputs_of(cell: &CellRecord, stage: Stage) -> Option<&str> {
    cell.stages.iter().find(|record| record.stage == stage.label()).map(|record| record.inputs.as_str())
}

/// The points that rest on each different run of this stage, in the order of the suite.
fn points_that_share(result: &SuiteResult, stage: Stage) -> Vec<(&str, Vec<usize>)> {
    let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
    for (index, point) in result.points.iter().enumerate() {
        let own = result.cells.iter().filter(|cell| cell.point == point.label);
        let inputs: BTreeSet<&str> = own.filter_map(|cell| inputs_of(cell, stage)).collect();
        for inputs in inputs {
            match groups.iter_mut().find(|(known, _)| *known == inputs) {
                Some((_, points)) => points.push(index),
                None => groups.push((inputs, vec![index])),
            }
        }
    }
    groups
}

/// The methods of these points where no other point has the method, otherwise their labels.
fn labels(result: &SuiteResult, points: &[usize]) -> String {
    let own = || points.iter().filter_map(|index| result.points.get(*index));
    let methods: BTreeSet<&str> = own().map(|point| point.key.method.as_str()).collect();
    let all = result.points.iter().filter(|point| methods.contains(point.key.method.as_str())).count();
    let names: Vec<&str> =
        if all == points.len() { methods.into_iter().collect() } else { own().map(|point| &*point.label).collect() };
    match names.split_first() {
        Some((first, others)) if others.len() > 2 => format!("{first} and {} more", others.len()),
        _ => names.join(", "),
    }
}

fn read_importance(run: &Path) -> Option<(Vec<f64>, Curves)> {
    /// The file for people, beside the artefact.
    #[derive(Deserialize)]
    struct Record {
        scores: Vec<f64>,
        curves: Curves,
    }
    let folder = Manifest::verify(&run.join(Stage::Importance.folder().name), Stage::Importance.head()).ok()?;
    let text = std::fs::read(folder.file("importance.json").ok()?).ok()?;
    let Record { scores, curves } = serde_json::from_slice(&text).ok()?;
    Some((scores, curves))
}

/// The losses of the mixtures from which importance was learnt.
fn mixture_panel(title: &str, point: usize, curves: &Curves) -> Option<Panel> {
    let line = |name: &str, judged: bool| {
        let curve = curves.get(name).filter(|curve| curve.steps.len() > 1)?;
        let rows = curve.steps.iter().zip(&curve.values);
        let points = rows.filter_map(|(step, row)| Some((*step as f64, *row.first()?))).collect::<Vec<_>>();
        Some(Series { point, points: smooth(&points), judged })
    };
    let series: Vec<Series> = [line("train_loss", false), line("held_out_loss", true)].into_iter().flatten().collect();
    (!series.is_empty()).then(|| Panel { title: format!("mixtures for importance: {title}"), series })
}

/// The validations of one kind of training, of each point the mean over its cells.
fn panel(result: &SuiteResult, title: &str, stage: Stage, task: Option<&str>) -> Option<Panel> {
    let mut series = Vec::new();
    for (index, point) in result.points.iter().enumerate() {
        let own = result.cells.iter().filter(|cell| cell.point == point.label);
        let own = own.filter(|cell| task.is_none_or(|task| cell.task == task) && inputs_of(cell, stage).is_some());
        let read: Vec<Losses> = own.filter_map(|cell| losses(Path::new(&cell.folder), stage.folder())).collect();
        let of = |judged: bool| {
            let runs: Vec<&[(u64, f64)]> =
                read.iter().map(|losses| if judged { &*losses.validation } else { &*losses.train }).collect();
            Series { point: index, points: means(&runs), judged }
        };
        series.extend([of(false), of(true)].into_iter().filter(|series| !series.points.is_empty()));
    }
    (!series.is_empty()).then(|| Panel { title: title.to_owned(), series })
}

/// Step and loss of every validation.
struct Losses {
    train: Vec<(u64, f64)>,
    validation: Vec<(u64, f64)>,
}

/// The losses that a training put into its manifest.
fn losses(run: &Path, folder: StageFolder) -> Option<Losses> {
    #[derive(Deserialize)]
    struct Trained {
        log: TrainingLog,
        validation_loss_before: Option<f64>,
    }
    let manifest = Manifest::read(&run.join(folder.name), folder.head).ok()?;
    let Trained { log, validation_loss_before } = Trained::deserialize(&manifest.body).ok()?;
    let before = validation_loss_before.map(|loss| (0, loss));
    Some(Losses {
        train: log.validations.iter().map(|one| (one.step, one.train_loss)).collect(),
        validation: before.into_iter().chain(log.validations.iter().map(|v| (v.step, v.validation_loss))).collect(),
    })
}

/// By step the mean of those that have it.
fn means(runs: &[&[(u64, f64)]]) -> Vec<(f64, f64)> {
    let mut by_step: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for (step, loss) in runs.iter().copied().flatten() {
        by_step.entry(*step).or_default().push(*loss);
    }
    by_step.into_iter().map(|(step, all)| (step as f64, all.iter().sum::<f64>() / all.len() as f64)).collect()
}

fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let part = |part: &[(f64, f64)]| {
        let sums = part.iter().fold((0.0, 0.0), |sums, point| (sums.0 + point.0, sums.1 + point.1));
        (sums.0 / part.len() as f64, sums.1 / part.len() as f64)
    };
    points.chunks((points.len() / PARTS).max(1)).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_the_mean_of_the_seeds_that_took_it() {
        let runs: [&[(u64, f64)]; 2] = [&[(10, 4.0), (20, 3.0)], &[(10, 2.0)]];
        assert_eq!(means(&runs), [(10.0, 3.0), (20.0, 3.0)]);
    }

    #[test]
    fn few_points_stay_and_many_become_means() {
        assert_eq!(smooth(&[(1.0, 5.0), (2.0, 4.0)]), [(1.0, 5.0), (2.0, 4.0)]);
        let many: Vec<(f64, f64)> = (0..50).map(|step| (f64::from(step), f64::from(step % 2))).collect();
        assert_eq!((smooth(&many).len(), smooth(&many).first()), (25, Some(&(0.5, 0.5))));
    }
}
