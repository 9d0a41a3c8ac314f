//! Losses over steps: one picture for each thing that trained, one colour for each point of the suite.

use plotters::prelude::*;

use super::axes::{Drawn, INK, colour, digits, letters, padded_range, shorten};
use super::drawing_error;
use super::stage_outputs::{Panel, Series};
use scaleot_pipeline::error::StageError;

const SIZE: (u32, u32) = (560, 300);
const TITLE: usize = 60;

/// One picture for each panel.
pub(super) fn svg(panels: &[Panel]) -> Result<Vec<Drawn>, StageError> {
    panels.iter().map(draw).collect()
}

fn draw(panel: &Panel) -> Result<Drawn, StageError> {
    let points = || panel.series.iter().flat_map(|series| series.points.iter().copied());
    let last = points().map(|(step, _)| step).fold(1.0, f64::max);
    let range = padded_range(points().map(|(_, loss)| loss), 0.06);
    let own = digits(range.0, range.1);
    let mut picture = String::new();
    {
        let area = SVGBackend::with_string(&mut picture, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .caption(shorten(&panel.title, TITLE), letters(14))
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..last * 1.03, range.0..range.1)
            .map_err(drawing_error)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh().light_line_style(TRANSPARENT).bold_line_style(INK.mix(0.12)).axis_style(INK.mix(0.4));
        let format_y = move |v: &f64| format!("{v:.own$}");
        mesh.x_desc("step").y_desc("loss").x_label_formatter(&|x| format!("{x:.0}")).y_label_formatter(&format_y);
        mesh.label_style(letters(11)).axis_desc_style(letters(12)).draw().map_err(drawing_error)?;
        for Series { point, points, judged } in &panel.series {
            let ink = colour(*point);
            let style = if *judged { ink.stroke_width(2) } else { ink.mix(0.55).stroke_width(1) };
            chart.draw_series(LineSeries::new(points.iter().copied(), style)).map_err(drawing_error)?;
            // A long line is a line; where there are a few validations each of them is to be seen.
            if *judged && points.len() <= 40 {
                chart.draw_series(points.iter().map(|at| Circle::new(*at, 3, ink.filled()))).map_err(drawing_error)?;
            }
        }
        area.present().map_err(drawing_error)?;
    }
    Ok(picture)
}
