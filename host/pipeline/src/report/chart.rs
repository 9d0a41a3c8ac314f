//! The record of a run as a picture: per metric one panel, per column one bar with its standard error. SVG, no fonts needed.

use super::gather::{Report, Row};
use crate::error::StageError;
use plotters::prelude::*;
use scaleot_config::Column;

const PANEL: (u32, u32) = (360, 260);
const INK: RGBColor = RGBColor(40, 44, 52);
/// One colour per column, in the order of the table: grey for what the owner had, blue for the data owner's, green for the result.
const BARS: [(Column, RGBColor); 5] = [
    (Column::ZeroShot, RGBColor(150, 156, 166)),
    (Column::Emulator, RGBColor(166, 200, 230)),
    (Column::EmulatorTuned, RGBColor(70, 130, 190)),
    (Column::PlugIn, RGBColor(46, 150, 100)),
    (Column::FullTuning, RGBColor(205, 160, 70)),
];

/// The picture of the rows of the report's first task (or text), as SVG; nothing when there is no figure.
///
/// # Errors
/// When a panel cannot be drawn.
pub fn svg(report: &Report) -> Result<Option<String>, StageError> {
    let Some(first) = report.rows.first() else { return Ok(None) };
    let rows: Vec<&Row> = report.rows.iter().filter(|row| row.task == first.task).collect();
    let mut picture = String::new();
    {
        let size = (PANEL.0 * rows.len() as u32, PANEL.1);
        let area = SVGBackend::with_string(&mut picture, size).into_drawing_area();
        area.fill(&WHITE).map_err(undrawn)?;
        for (panel, row) in area.split_evenly((1, rows.len())).iter().zip(&rows) {
            draw(panel, report, row)?;
        }
        area.present().map_err(undrawn)?;
    }
    Ok(Some(picture))
}

fn draw(
    panel: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    report: &Report,
    row: &Row,
) -> Result<(), StageError> {
    let bars: Vec<_> = report.columns.iter().filter_map(|column| Some((column, row.figures.get(column)?))).collect();
    let top = bars.iter().map(|(_, figure)| figure.mean + figure.stderr.unwrap_or(0.0)).fold(0.0, f64::max) * 1.15;
    let title = format!("{} {}", row.task, row.metric);
    let mut chart = ChartBuilder::on(panel)
        .margin(12)
        .caption(title, ("sans-serif", 15).into_font().color(&INK))
        .x_label_area_size(24)
        .y_label_area_size(36)
        .build_cartesian_2d(-0.5..(bars.len() as f64 - 0.5), 0.0..top.max(f64::MIN_POSITIVE))
        .map_err(undrawn)?;
    let name = |x: &f64| {
        let at = if (x - x.round()).abs() < 0.01 && *x >= 0.0 { x.round() as usize } else { usize::MAX };
        bars.get(at).map(|(column, _)| column.replace('_', "-")).unwrap_or_default()
    };
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().light_line_style(WHITE).bold_line_style(INK.mix(0.12)).axis_style(INK.mix(0.4));
    mesh.x_labels(bars.len() * 2 + 1).x_label_formatter(&name).y_labels(6).y_label_formatter(&|y| format!("{y:.2}"));
    mesh.label_style(("sans-serif", 10).into_font().color(&INK)).draw().map_err(undrawn)?;
    let rectangles = bars.iter().enumerate().map(|(index, (column, figure))| {
        let x = index as f64;
        Rectangle::new([(x - 0.32, 0.0), (x + 0.32, figure.mean)], colour(column).filled())
    });
    chart.draw_series(rectangles).map_err(undrawn)?;
    let whiskers = bars.iter().enumerate().filter_map(|(index, (_, figure))| {
        let (x, stderr) = (index as f64, figure.stderr?);
        Some(PathElement::new([(x, figure.mean - stderr), (x, figure.mean + stderr)], INK.stroke_width(2)))
    });
    chart.draw_series(whiskers).map_err(undrawn)?;
    let values = bars.iter().enumerate().map(|(index, (_, figure))| {
        let at = (index as f64 - 0.18, figure.mean + figure.stderr.unwrap_or(0.0) + top * 0.06);
        Text::new(format!("{:.3}", figure.mean), at, ("sans-serif", 11).into_font().color(&INK))
    });
    chart.draw_series(values).map(drop).map_err(undrawn)
}

fn colour(column: &str) -> RGBColor {
    BARS.iter().find(|(known, _)| known.key() == column).map_or(INK, |(_, colour)| *colour)
}

fn undrawn(error: impl std::fmt::Display) -> StageError {
    StageError::InvalidValue {
        subject: "report.svg".into(),
        what: "picture".into(),
        found: error.to_string(),
        expected: "figures that can be drawn".into(),
    }
}
