//! The figures of a suite as CSV, one figure a line: for spreadsheets and plots.

use csv::{Terminator, WriterBuilder};

use super::result::{Over, Point, PointRow, SuiteResult, Summary};

const HEAD: [&str; 13] = [
    "method",
    "settings",
    "task",
    "metric",
    "column",
    "mean",
    "stderr",
    "stderr_over",
    "seeds",
    "seeds_wanted",
    "bundle_bytes",
    "seconds",
    "dominated_by",
];

/// The table as CSV. A figure that is missing has a line with empty fields.
///
/// # Errors
/// A write error of the CSV library, which memory does not give.
pub fn csv_figures(result: &SuiteResult) -> Result<Vec<u8>, csv::Error> {
    let mut writer = WriterBuilder::new().terminator(Terminator::Any(b'\n')).from_writer(Vec::new());
    writer.write_record(HEAD)?;
    for point in &result.points {
        for row in &point.rows {
            for column in &result.columns {
                writer.write_record(line(result, point, row, column, row.figures.get(column)))?;
            }
            writer.write_record(line(result, point, row, "gap", row.gap.as_ref()))?;
        }
        for task in result.tasks.iter().filter(|task| !point.rows.iter().any(|row| row.task == **task)) {
            let none = PointRow { task: task.clone(), metric: String::new(), figures: Default::default(), gap: None };
            writer.write_record(line(result, point, &none, "", None))?;
        }
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

fn line(result: &SuiteResult, point: &Point, row: &PointRow, column: &str, figure: Option<&Summary>) -> [String; 13] {
    let settings: Vec<String> = point.key.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let of = |value: Option<String>| value.unwrap_or_default();
    let over = |figure: &Summary| match figure.over {
        Over::Seeds => "seeds".to_owned(),
        Over::Questions => "questions".to_owned(),
    };
    [
        point.key.method.clone(),
        settings.join(" "),
        row.task.clone(),
        row.metric.clone(),
        column.to_owned(),
        of(figure.map(|figure| figure.mean.to_string())),
        of(figure.and_then(|figure| figure.stderr).map(|stderr| stderr.to_string())),
        of(figure.filter(|figure| figure.stderr.is_some()).map(over)),
        figure.map_or(0, |figure| figure.seeds).to_string(),
        result.seeds.len().to_string(),
        of(point.bundle_bytes.map(|bytes| bytes.to_string())),
        of(point.seconds.map(|seconds| format!("{seconds:.3}"))),
        point.dominated_by.join("; "),
    ]
}
