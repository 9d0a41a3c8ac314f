//! `importance.svg`: the score of every layer, and how scores and losses went. For the model owner's eyes.

use crate::artefacts::{Curve, Curves};
use crate::error::StageError;
use plotters::coord::Shift;
use plotters::prelude::*;

const PANEL: (u32, u32) = (420, 280);
const INK: RGBColor = RGBColor(40, 44, 52);
const KEEP: RGBColor = RGBColor(46, 150, 100);
const SPARE: RGBColor = RGBColor(150, 156, 166);
/// Losses are shown as means over this share of the steps: one batch says little.
const SMOOTHING: usize = 25;

type Panel<'a, 'b> = DrawingArea<SVGBackend<'b>, Shift>;

/// The picture: scores by layer; their history if there is one; the losses if there are any.
///
/// # Errors
/// When a panel cannot be drawn.
pub fn svg(scores: &[f32], curves: &Curves) -> Result<String, StageError> {
    let history = curves.get("scores").filter(|curve| curve.steps.len() > 1);
    let losses: Vec<(&str, &Curve)> = [("training", "train_loss"), ("held out", "held_out_loss")]
        .into_iter()
        .filter_map(|(label, name)| Some((label, curves.get(name).filter(|curve| curve.steps.len() > 1)?)))
        .collect();
    let panels = 1 + u32::from(history.is_some()) + u32::from(!losses.is_empty());
    let mut picture = String::new();
    {
        let area = SVGBackend::with_string(&mut picture, (PANEL.0 * panels, PANEL.1)).into_drawing_area();
        area.fill(&WHITE).map_err(undrawn)?;
        let areas = area.split_evenly((1, panels as usize));
        let mut areas = areas.iter();
        if let Some(panel) = areas.next() {
            bars(panel, scores)?;
        }
        if let (Some(history), Some(panel)) = (history, areas.next().filter(|_| history.is_some())) {
            let lines = (0..scores.len()).map(|layer| (String::new(), shade(layer, scores), column(history, layer)));
            lines_over_steps(panel, "score of every layer by step", &lines.collect::<Vec<_>>())?;
        }
        if let Some(panel) = areas.next_back().filter(|_| !losses.is_empty()) {
            let colours = [RGBColor(70, 130, 190), RGBColor(205, 160, 70)];
            let lines = losses
                .iter()
                .zip(colours)
                .map(|((label, curve), colour)| ((*label).to_owned(), colour.to_rgba(), smoothed(&column(curve, 0))));
            lines_over_steps(panel, "loss of the mixtures, nats per token", &lines.collect::<Vec<_>>())?;
        }
        area.present().map_err(undrawn)?;
    }
    Ok(picture)
}

/// One bar per layer; the more important half in green.
fn bars(panel: &Panel<'_, '_>, scores: &[f32]) -> Result<(), StageError> {
    let values = || scores.iter().map(|&score| f64::from(score));
    let (low, high) = padded(values().fold(0.0, f64::min), values().fold(0.0, f64::max));
    let mut chart = ChartBuilder::on(panel)
        .margin(12)
        .caption("importance of every layer", ("sans-serif", 15).into_font().color(&INK))
        .x_label_area_size(28)
        .y_label_area_size(44)
        .build_cartesian_2d(-0.5..(scores.len() as f64 - 0.5), low..high)
        .map_err(undrawn)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().light_line_style(WHITE).bold_line_style(INK.mix(0.12)).axis_style(INK.mix(0.4));
    mesh.x_desc("layer").x_label_formatter(&|x| format!("{x:.0}")).y_label_formatter(&|y| format!("{y:.2}"));
    mesh.label_style(("sans-serif", 10).into_font().color(&INK)).draw().map_err(undrawn)?;
    let rectangles = values().enumerate().map(|(layer, score)| {
        let x = layer as f64;
        Rectangle::new([(x - 0.36, 0.0), (x + 0.36, score)], shade(layer, scores).filled())
    });
    chart.draw_series(rectangles).map(drop).map_err(undrawn)
}

type Line = (String, RGBAColor, Vec<(f64, f64)>);

fn lines_over_steps(panel: &Panel<'_, '_>, title: &str, lines: &[Line]) -> Result<(), StageError> {
    let points = || lines.iter().flat_map(|(_, _, points)| points.iter().copied());
    let last = points().map(|(step, _)| step).fold(1.0, f64::max);
    let (low, high) = padded(
        points().map(|(_, value)| value).fold(f64::INFINITY, f64::min),
        points().map(|(_, value)| value).fold(f64::NEG_INFINITY, f64::max),
    );
    let mut chart = ChartBuilder::on(panel)
        .margin(12)
        .caption(title, ("sans-serif", 15).into_font().color(&INK))
        .x_label_area_size(28)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..last, low..high)
        .map_err(undrawn)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().light_line_style(WHITE).bold_line_style(INK.mix(0.12)).axis_style(INK.mix(0.4));
    mesh.x_desc("step").x_label_formatter(&|x| format!("{x:.0}")).y_label_formatter(&|y| format!("{y:.2}"));
    mesh.label_style(("sans-serif", 10).into_font().color(&INK)).draw().map_err(undrawn)?;
    for (label, colour, points) in lines {
        let colour = *colour;
        let series = chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(1)));
        let series = series.map_err(undrawn)?;
        if !label.is_empty() {
            series.label(label).legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
        }
    }
    if lines.iter().any(|(label, _, _)| !label.is_empty()) {
        let mut legend = chart.configure_series_labels();
        legend
            .label_font(("sans-serif", 10).into_font().color(&INK))
            .background_style(WHITE)
            .draw()
            .map_err(undrawn)?;
    }
    Ok(())
}

/// Green for the more important half of the layers.
fn shade(layer: usize, scores: &[f32]) -> RGBAColor {
    let own = scores.get(layer).copied().unwrap_or(0.0);
    let above = scores.iter().filter(|&&score| score > own).count();
    if 2 * above < scores.len() { KEEP.to_rgba() } else { SPARE.to_rgba() }
}

fn column(curve: &Curve, column: usize) -> Vec<(f64, f64)> {
    let rows = curve.steps.iter().zip(&curve.values);
    rows.filter_map(|(&step, row)| Some((step as f64, *row.get(column)?))).collect()
}

fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let width = (points.len() / SMOOTHING).max(1);
    let mean = |part: &[(f64, f64)]| {
        let count = part.len().max(1) as f64;
        let sums = part.iter().fold((0.0, 0.0), |sums, point| (sums.0 + point.0, sums.1 + point.1));
        (sums.0 / count, sums.1 / count)
    };
    points.chunks(width).map(mean).collect()
}

/// Room above and below; never an empty range.
fn padded(low: f64, high: f64) -> (f64, f64) {
    let room = ((high - low) * 0.06).max(1e-6);
    (low - room, high + room)
}

fn undrawn(error: impl std::fmt::Display) -> StageError {
    StageError::InvalidValue {
        subject: "importance.svg".into(),
        what: "picture".into(),
        found: error.to_string(),
        expected: "scores that can be drawn".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scaleot_plugin_api::CurvePoint;

    #[test]
    fn a_panel_for_each_thing_that_there_is() {
        let scores = [0.5, -0.25, 0.0];
        let bare = svg(&scores, &Curves::default()).unwrap();
        assert!(bare.contains("width=\"420\"") && bare.contains("importance of every layer"));
        let mut curves = Curves::default();
        for step in 1..=4 {
            let (own, values) = (f64::from(step as u32), vec![0.1, 0.2, 0.3]);
            curves.add(CurvePoint::new("scores", step, values)).unwrap();
            curves.add(CurvePoint::new("train_loss", step, vec![own])).unwrap();
        }
        let whole = svg(&scores, &curves).unwrap();
        assert!(
            whole.contains("width=\"1260\"") && whole.contains("loss of the mixtures") && whole.contains("training")
        );
    }
}
