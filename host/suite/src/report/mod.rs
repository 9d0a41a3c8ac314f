//! `report.html`: the record of a suite as one page that needs nothing else, for a browser and for paper.
//!
//! Tables are those of the other files. Text goes through the template's escaping; only pictures, which escape their own words,
//! go in as they are.

mod axes;
mod bars;
mod curves;
mod frontier;
mod layers;
mod left;

use comfy_table::Table;
use minijinja::{AutoEscape, Environment, Value, context};
use plotters::style::Color as _;
use serde::Serialize;

use self::axes::{Drawn, colour, in_ink};
use self::left::Left;
use super::error::SuiteError;
use super::result::{Point, SuiteResult};
use super::table::{NONE, View, notes, parts};
use scaleot_pipeline::error::StageError;
use scaleot_store::escape::escape_to;

const PAGE: &str = include_str!("page.html");

/// A table of more rows is folded, so that the pictures are not pages away.
const FOLDED_ABOVE: usize = 100;

/// A table of the page.
#[derive(Serialize)]
struct Section {
    head: &'static str,
    columns: Vec<String>,
    rows: Vec<Row>,
}

/// A line of a table.
#[derive(Serialize)]
struct Row {
    cells: Vec<Field>,
}

/// A field: how it is set, and why it is empty if it is.
#[derive(Serialize)]
struct Field {
    text: String,
    number: bool,
    missing: Option<String>,
}

/// A group of pictures under one head.
#[derive(Serialize)]
struct Figures {
    head: &'static str,
    note: &'static str,
    pictures: Vec<Value>,
    legend: bool,
}

/// The page.
///
/// # Errors
/// A picture that cannot be drawn.
pub fn page(result: &SuiteResult, view: View) -> Result<String, SuiteError> {
    let left = Left::of(result);
    let sections: Vec<Section> = parts(result, view).into_iter().map(|part| section(result, part)).collect();
    let notes: Vec<String> = notes(result, view)
        .into_iter()
        .take_while(|note| note != "missing:")
        .map(|note| escape_to(&note, 600))
        .collect();
    let legend: Vec<(String, String)> =
        (result.points.iter().enumerate()).map(|(index, point)| (css(index), point.label.clone())).collect();
    let context = context! {
        title => result.suite,
        sections => sections,
        figures => figures(result, &left)?,
        missing => result.missing,
        legend => legend,
        notes => notes,
        folded_above => FOLDED_ABOVE,
    };
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.render_str(PAGE, context).map_err(|error| undrawn(error).into())
}

/// Every picture for which there is something to draw.
fn figures(result: &SuiteResult, left: &Left) -> Result<Vec<Figures>, StageError> {
    let one = |picture: Option<Drawn>| picture.into_iter().collect::<Vec<_>>();
    let group = |head, note, legend, pictures: Vec<Drawn>| Figures {
        head,
        note,
        legend,
        pictures: pictures.into_iter().map(|svg| Value::from_safe_string(in_ink(&svg))).collect(),
    };
    let all = vec![
        group("Privacy and utility", FRONTIER_NOTE, false, one(frontier::svg(result)?)),
        group("Bundle and time", COST_NOTE, false, bars::svg(result)?),
        group("Importance of every layer", LAYERS_NOTE, false, layers::svg(&left.scores)?),
        group("Training", TRAINING_NOTE, true, curves::svg(&left.panels)?),
    ];
    Ok(all.into_iter().filter(|figures| !figures.pictures.is_empty()).collect())
}

const FRONTIER_NOTE: &str = "Accuracies over all tasks. To the left the owner is better protected, higher up the result is more \
    useful; grey: another method is at least as good in both and better in one. The line is the frontier.";
const COST_NOTE: &str =
    "The largest bundle of a method, and the wall time of the stages that its runs rest on, each shared one once.";
const LAYERS_NOTE: &str = "As the method scored them, each on a scale of its own; green: the more important half.";
const TRAINING_NOTE: &str = "Nats per target. A line with points is the validation loss, a thin one the training loss, each the mean \
    over the seeds; losses of mixtures while importance is estimated are smoothed.";

/// A table with its empty fields explained.
fn section(result: &SuiteResult, (head, table): (&'static str, Table)) -> Section {
    let content = |row: &comfy_table::Row| row.cell_iter().map(comfy_table::Cell::content).collect::<Vec<String>>();
    let columns = table.header().map(content).unwrap_or_default();
    let rows = table.row_iter().map(|row| Row { cells: fields(result, &columns, content(row)) }).collect();
    Section { head, columns, rows }
}

fn fields(result: &SuiteResult, columns: &[String], texts: Vec<String>) -> Vec<Field> {
    let of = |name: &str| columns.iter().position(|column| column == name).and_then(|index| texts.get(index));
    let (task, method) = (of("task"), of("method"));
    let reason = (result.missing.iter())
        .filter(|missing| Some(&missing.point) == method && task.is_none_or(|task| missing.task == *task))
        .map(|missing| format!("{}: {}", missing.cell, missing.reason))
        .next();
    let field = |text: String| {
        // Some of the seeds, or none of them.
        let missing = if text == NONE || text.ends_with(']') { reason.clone() } else { None };
        let number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '<' | '–'));
        Field { missing, number, text }
    };
    texts.into_iter().map(field).collect()
}

/// Points with their place in the palette.
fn coloured(result: &SuiteResult) -> impl Iterator<Item = (usize, &Point)> {
    result.points.iter().enumerate()
}

fn css(index: usize) -> String {
    let (r, g, b) = colour(index).rgb();
    format!("rgb({r},{g},{b})")
}

fn undrawn(error: impl std::fmt::Display) -> StageError {
    StageError::InvalidValue {
        subject: "report.html".into(),
        what: "page".into(),
        found: error.to_string(),
        expected: "figures that can be drawn".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Missing;

    #[test]
    fn names_and_reasons_are_words_and_never_markup() {
        let point = crate::choose::tests::point("a<b>&\"c", 0.3, 0.5, Some(1 << 20));
        let missing = Missing {
            cell: "cell".into(),
            point: "a<b>&\"c".into(),
            task: "t<i>".into(),
            seed: 0,
            reason: "found <script>alert(1)</script>".into(),
        };
        let result = SuiteResult {
            suite: "<b>suite</b>".into(),
            tasks: vec!["t<i>".into()],
            seeds: vec![0],
            columns: vec!["plug_in".into()],
            points: vec![point],
            comparisons: Vec::new(),
            missing: vec![missing],
            seconds: 1.0,
            cells: Vec::new(),
        };
        let page = page(&result, View::Sweep).unwrap();
        for markup in ["a<b", "<script", "t<i>", "<b>"] {
            assert!(!page.contains(markup), "{markup} in {page}");
        }
        // In the tables, and in the pictures by their own escaping.
        assert!(page.matches("a&lt;b").count() >= 3 && page.contains("found &lt;script&gt;"), "{page}");
    }
}
