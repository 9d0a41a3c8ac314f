//! The record of a suite as tables: for a terminal, and as Markdown. What is missing is a dash, never a zero.

use comfy_table::{CellAlignment, Table, presets};

use super::result::{Comparison, Over, Point, PointRow, SuiteResult, Summary};
use scaleot_pipeline::report::{fitted, size};

pub(super) const NONE: &str = "–";
/// With more pairs than this a person is shown those with the first point only; the files have all.
const PAIRS: usize = 10;

/// A verb's view of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    Compare,
    /// With the frontier.
    Sweep,
}

/// Tables and notes, as wide as the terminal allows.
pub fn terminal(result: &SuiteResult, view: View) -> String {
    let draw = |mut table: Table| {
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
        // Lines between the rows would stand between the methods that are compared.
        use comfy_table::TableComponent::{HorizontalLines, MiddleIntersections};
        table.remove_style(HorizontalLines).remove_style(MiddleIntersections);
        fitted(&mut table)
    };
    let parts: Vec<String> =
        parts(result, view).into_iter().map(|(head, table)| format!("{head}\n{}", draw(table))).collect();
    [parts, vec![notes(result, view).join("\n")]].concat().join("\n\n")
}

/// The same as a Markdown page.
pub fn markdown(result: &SuiteResult, view: View) -> String {
    let draw = |mut table: Table| {
        table.load_preset(presets::ASCII_MARKDOWN);
        table.to_string()
    };
    let parts = parts(result, view).into_iter().map(|(head, table)| format!("## {head}\n\n{}\n\n", draw(table)));
    let notes = notes(result, view).into_iter().map(|note| format!("- {}\n", note.trim_start()));
    format!("# {}\n\n{}{}", result.suite, parts.collect::<String>(), notes.collect::<String>())
}

/// Every table under its head.
pub(super) fn parts(result: &SuiteResult, view: View) -> Vec<(&'static str, Table)> {
    let mut parts = vec![("Methods", figures(result)), ("Cost", costs(result))];
    if view == View::Sweep {
        parts.push(("Frontier (accuracies over all tasks)", frontier(result)));
    }
    if !result.comparisons.is_empty() {
        parts.push(("Paired differences of the plugged-in models", comparisons(result)));
    }
    parts
}

fn titled_table(heads: Vec<String>, left: usize) -> Table {
    let mut table = Table::new();
    table.set_header(heads);
    table.column_iter_mut().skip(left).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// One row for each task, metric and point: methods that are compared stand below one another.
fn figures(result: &SuiteResult) -> Table {
    let columns: Vec<String> = result.columns.iter().map(|column| column.replace('_', "-")).collect();
    let mut table = titled_table([words(&["task", "metric", "method"]), columns, words(&["gap"])].concat(), 3);
    let mut metrics: Vec<(&str, &str)> = Vec::new();
    for row in result.points.iter().flat_map(|point| &point.rows) {
        if !metrics.contains(&(row.task.as_str(), row.metric.as_str())) {
            metrics.push((&row.task, &row.metric));
        }
    }
    metrics.sort_by_key(|(task, _)| result.tasks.iter().position(|known| known == task));
    // A task without any result still has its rows.
    let absent = result.tasks.iter().filter(|task| !metrics.iter().any(|(known, _)| known == task));
    let absent: Vec<(&str, &str)> = absent.map(|task| (task.as_str(), NONE)).collect();
    for (task, metric) in metrics.iter().chain(&absent) {
        for point in &result.points {
            let row = point.rows.iter().find(|row| row.task == *task && row.metric == *metric);
            table.add_row([words(&[task, metric, &point.label]), cells(result, row)].concat());
        }
    }
    table
}

fn cells(result: &SuiteResult, row: Option<&PointRow>) -> Vec<String> {
    let shown =
        |figure: Option<&Summary>, signed: bool| figure.map_or(NONE.to_owned(), |f| figure_text(result, f, signed));
    let columns = result.columns.iter().map(|column| shown(row.and_then(|row| row.figures.get(column)), false));
    columns.chain([shown(row.and_then(|row| row.gap.as_ref()), true)]).collect()
}

/// `0.523 ± 0.021`, `q` where the questions are the sample though there are several seeds, `[2/3]` where seeds are missing.
fn figure_text(result: &SuiteResult, figure: &Summary, signed: bool) -> String {
    let mean = if signed { format!("{:+.3}", figure.mean) } else { format!("{:.3}", figure.mean) };
    let stderr = figure.stderr.map(|stderr| format!(" ± {stderr:.3}")).unwrap_or_default();
    let wanted = result.seeds.len();
    let over = if wanted > 1 && figure.over == Over::Questions && figure.stderr.is_some() { " q" } else { "" };
    let part = if figure.seeds < wanted { format!(" [{}/{wanted}]", figure.seeds) } else { String::new() };
    format!("{mean}{stderr}{over}{part}")
}

fn costs(result: &SuiteResult) -> Table {
    let mut table = titled_table(words(&["method", "bundle", "time", "cells"]), 1);
    for point in &result.points {
        let done = result.cells.iter().filter(|cell| cell.point == point.label).count();
        table.add_row([
            point.label.clone(),
            point.bundle_bytes.map_or(NONE.to_owned(), size),
            point.seconds.map_or(NONE.to_owned(), |seconds| format!("{seconds:.1} s")),
            format!("{done}/{}", result.tasks.len() * result.seeds.len()),
        ]);
    }
    table
}

/// Best protected first.
fn frontier(result: &SuiteResult) -> Table {
    let mut table = titled_table(words(&["method", "emulator-tuned", "plug-in", "bundle", "dominated by"]), 1);
    let mut points: Vec<&Point> = result.points.iter().collect();
    let key = |point: &Point| point.standing.map_or(f64::INFINITY, |standing| standing.emulator_tuned);
    points.sort_by(|a, b| key(a).total_cmp(&key(b)));
    for point in points {
        let of = |figure: Option<f64>| figure.map_or(NONE.to_owned(), |figure| format!("{figure:.3}"));
        let by = match (point.standing, point.dominated_by.split_first()) {
            (None, _) => NONE.to_owned(),
            (Some(_), None) => "not dominated".to_owned(),
            (Some(_), Some((first, []))) => first.clone(),
            (Some(_), Some((first, others))) => format!("{first} and {} more", others.len()),
        };
        table.add_row([
            point.label.clone(),
            of(point.standing.map(|standing| standing.emulator_tuned)),
            of(point.standing.map(|standing| standing.plug_in)),
            point.bundle_bytes.map_or(NONE.to_owned(), size),
            by,
        ]);
    }
    if let Some(last) = table.column_mut(4) {
        last.set_cell_alignment(CellAlignment::Left);
    }
    table
}

fn comparisons(result: &SuiteResult) -> Table {
    let heads = ["task", "metric", "first", "second", "first - second", "t", "p", "p (Holm)", "questions", "seeds"];
    let mut table = titled_table(words(&heads), 4);
    for pair in shown_pairs(result) {
        let p = |p: Option<f64>| {
            p.map_or(NONE.to_owned(), |p| if p < 1e-4 { "< 0.0001".into() } else { format!("{p:.4}") })
        };
        let stderr = pair.stderr.map(|stderr| format!(" ± {stderr:.3}")).unwrap_or_default();
        table.add_row([
            pair.task.clone(),
            pair.metric.clone(),
            pair.first.clone(),
            pair.second.clone(),
            format!("{:+.3}{stderr}", pair.difference),
            pair.t.map_or(NONE.to_owned(), |t| format!("{t:.2}")),
            p(pair.p),
            p(pair.p_holm),
            pair.questions.to_string(),
            pair.seeds.to_string(),
        ]);
    }
    table
}

fn shown_pairs(result: &SuiteResult) -> Vec<&Comparison> {
    let first = result.points.first().map(|point| point.label.as_str());
    let few = pairs(result) <= PAIRS;
    result.comparisons.iter().filter(|pair| few || Some(pair.first.as_str()) == first).collect()
}

/// Pairs of points, whatever task and metric.
fn pairs(result: &SuiteResult) -> usize {
    result.points.len() * result.points.len().saturating_sub(1) / 2
}

/// Notes for the reader of the tables.
pub(super) fn notes(result: &SuiteResult, view: View) -> Vec<String> {
    let mut notes = vec![format!(
        "{} of {} cells finished; {:.1} s in all stages, each shared one counted once",
        result.cells.len(),
        result.cells.len() + result.missing.len(),
        result.seconds
    )];
    notes.push(match result.seeds.len() {
        1 => "mean ± standard error over the questions (one seed)".to_owned(),
        seeds => format!(
            "mean over {seeds} seeds ± standard error over seeds; q: over the questions, where all seeds have one model"
        ),
    });
    notes.push("gap = plug-in over emulator-tuned, positive is better for the owner; answer_loss in nats per answer token, lower is better".to_owned());
    if !result.comparisons.is_empty() {
        notes.push("paired t test on the same questions, each averaged over seeds; two-sided p; Holm for all pairs of a task and metric".to_owned());
    }
    if view == View::Sweep {
        notes.push(
            "the frontier compares means; whether a difference is more than noise is the paired test's matter"
                .to_owned(),
        );
    }
    if pairs(result) > PAIRS {
        notes.push(format!("pairs with the first method only; all {} are in the JSON and CSV files", pairs(result)));
    }
    if !result.missing.is_empty() {
        notes.push("missing:".to_owned());
        notes.extend(result.missing.iter().map(|missing| format!("  {}: {}", missing.cell, missing.reason)));
    }
    notes
}
