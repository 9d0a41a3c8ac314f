//! The importance of every layer as bars, one picture for each set of scores that some method has.

use plotters::prelude::*;

use super::axes::{Drawn, GREEN, GREY, INK, digits, letters, padded_range, shorten};
use super::drawing_error;
use super::stage_outputs::Scores;
use scaleot_pipeline::error::StageError;

const SIZE: (u32, u32) = (560, 280);
const TITLE: usize = 60;

/// One picture for each.
pub(super) fn svg(scores: &[Scores]) -> Result<Vec<Drawn>, StageError> {
    scores.iter().map(draw).collect()
}

fn draw(of: &Scores) -> Result<Drawn, StageError> {
    let scores = &of.scores;
    let range = padded_range(scores.iter().copied().chain([0.0]), 0.06);
    let own = digits(range.0, range.1);
    let mut picture = String::new();
    {
        let area = SVGBackend::with_string(&mut picture, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .caption(shorten(&of.title, TITLE), letters(14))
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(-0.5..(scores.len() as f64 - 0.5), range.0..range.1)
            .map_err(drawing_error)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh().light_line_style(TRANSPARENT).bold_line_style(INK.mix(0.12)).axis_style(INK.mix(0.4));
        let format_y = move |v: &f64| format!("{v:.own$}");
        mesh.x_desc("layer").x_labels(scores.len().min(16)).x_label_formatter(&whole).y_label_formatter(&format_y);
        mesh.label_style(letters(11)).axis_desc_style(letters(12)).draw().map_err(drawing_error)?;
        let bars = scores.iter().enumerate().map(|(layer, score)| {
            let x = layer as f64;
            let above = scores.iter().filter(|other| *other > score).count();
            let ink = if 2 * above < scores.len() { GREEN } else { GREY };
            Rectangle::new([(x - 0.36, 0.0), (x + 0.36, *score)], ink.filled())
        });
        chart.draw_series(bars).map_err(drawing_error)?;
        area.present().map_err(drawing_error)?;
    }
    Ok(picture)
}

/// Layers have whole numbers; a mark between two has none.
fn whole(x: &f64) -> String {
    if (x - x.round()).abs() < 1e-6 { format!("{:.0}", x.round().max(0.0)) } else { String::new() }
}
