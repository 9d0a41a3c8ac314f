//! The frontier as a picture: emulator-tuned accuracy to the right, plug-in accuracy upwards, one labelled mark for each point.

use plotters::prelude::*;

use super::axes::{Drawn, GREY, INK, colour, digits, letters, padded_range, shorten, width};
use super::{coloured_points, drawing_error};
use crate::result::SuiteResult;
use scaleot_pipeline::error::StageError;

const SIZE: (u32, u32) = (720, 440);
const LETTERS: u32 = 12;
const LABEL: usize = 40;

/// A rectangle in pixels: left, top, right, bottom.
type Space = (f64, f64, f64, f64);

/// The picture; none without a point that has both accuracies.
pub(super) fn svg(result: &SuiteResult) -> Result<Option<Drawn>, StageError> {
    let standing: Vec<_> =
        coloured_points(result).filter_map(|(index, point)| Some((index, point, point.standing?))).collect();
    if standing.is_empty() {
        return Ok(None);
    }
    let (x, y) = (
        padded_range(standing.iter().map(|(_, _, at)| at.emulator_tuned), 0.15),
        padded_range(standing.iter().map(|(_, _, at)| at.plug_in), 0.15),
    );
    let mut picture = String::new();
    {
        let area = SVGBackend::with_string(&mut picture, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(x.0..x.1, y.0..y.1)
            .map_err(drawing_error)?;
        let mut mesh = chart.configure_mesh();
        mesh.light_line_style(TRANSPARENT).bold_line_style(INK.mix(0.12)).axis_style(INK.mix(0.4));
        mesh.x_desc("emulator-tuned accuracy (lower: better protected)")
            .y_desc("plug-in accuracy (higher: more useful)");
        let (own_x, own_y) = (digits(x.0, x.1), digits(y.0, y.1));
        let (format_x, format_y) = (move |v: &f64| format!("{v:.own_x$}"), move |v: &f64| format!("{v:.own_y$}"));
        mesh.x_label_formatter(&format_x).y_label_formatter(&format_y).x_labels(8).y_labels(8);
        mesh.label_style(letters(11)).axis_desc_style(letters(12)).draw().map_err(drawing_error)?;
        let mut best: Vec<(f64, f64)> = (standing.iter())
            .filter(|(_, point, _)| point.dominated_by.is_empty())
            .map(|(_, _, at)| (at.emulator_tuned, at.plug_in))
            .collect();
        best.sort_by(|a, b| a.0.total_cmp(&b.0));
        chart.draw_series(LineSeries::new(best.iter().copied(), INK.mix(0.35))).map_err(drawing_error)?;
        let corners: Vec<(i32, i32)> = best.iter().map(|at| chart.backend_coord(at)).collect();
        let mut taken: Vec<Space> = corners.windows(2).flat_map(spaces_along).collect();
        let at: Vec<(f64, f64)> = (standing.iter())
            .map(|(_, _, at)| chart.backend_coord(&(at.emulator_tuned, at.plug_in)))
            .map(|(x, y)| (f64::from(x), f64::from(y)))
            .collect();
        taken.extend(at.iter().map(|(x, y)| (x - 6.0, y - 6.0, x + 6.0, y + 6.0)));
        for ((index, point, _), &(x, y)) in standing.iter().zip(&at) {
            let dominated = !point.dominated_by.is_empty();
            let (ink, words) = if dominated { (GREY, GREY) } else { (colour(*index), INK) };
            let pixel = |(x, y): (f64, f64)| (x.round() as i32, y.round() as i32);
            area.draw(&Circle::new(pixel((x, y)), 5, ink.filled())).map_err(drawing_error)?;
            let label = shorten(&point.label, LABEL);
            let space = place(x, y, width(&label, LETTERS), &taken);
            if (space.1 - y).abs() > 26.0 {
                let nearest = if space.3 < y { space.3 } else { space.1 };
                let line = [pixel((x, y)), pixel(((space.0 + space.2) / 2.0, nearest))];
                area.draw(&PathElement::new(line, ink.mix(0.5))).map_err(drawing_error)?;
            }
            let style = letters(LETTERS).color(&words);
            area.draw(&Text::new(label, pixel((space.0, space.1)), style)).map_err(drawing_error)?;
            taken.push(space);
        }
        area.present().map_err(drawing_error)?;
    }
    Ok(Some(picture))
}

/// Small spaces along a stretch of the line.
fn spaces_along(ends: &[(i32, i32)]) -> Vec<Space> {
    let [from, to] = ends else { return Vec::new() };
    let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
    let pieces = (dx.hypot(dy) / 5.0).ceil().max(1.0) as u32;
    let at = |piece: u32| {
        let part = f64::from(piece) / f64::from(pieces);
        (f64::from(from.0) + dx * part, f64::from(from.1) + dy * part)
    };
    (0..=pieces).map(at).map(|(x, y)| (x - 1.0, y - 1.0, x + 1.0, y + 1.0)).collect()
}

/// A place with room for a label: beside its mark, above or below it, then ever further away.
fn place(x: f64, y: f64, wide: f64, taken: &[Space]) -> Space {
    let high = f64::from(LETTERS);
    let mut candidates = vec![(x + 9.0, y - high / 2.0), (x - 9.0 - wide, y - high / 2.0)];
    for step in 0..12 {
        let away = 8.0 + f64::from(step) * (high + 3.0);
        candidates.extend([0.5, 0.0, 1.0].map(|part| (x - wide * part, y - away - high)));
        candidates.extend([0.5, 0.0, 1.0].map(|part| (x - wide * part, y + away)));
    }
    let space = |(left, top): (f64, f64)| (left, top, left + wide, top + high);
    let fits = |one: &Space| {
        let inside = one.0 > 70.0 && one.2 < f64::from(SIZE.0) - 4.0 && one.1 > 4.0 && one.3 < f64::from(SIZE.1) - 60.0;
        let clear = |other: &Space| one.2 < other.0 || other.2 < one.0 || one.3 < other.1 || other.3 < one.1;
        inside && taken.iter().all(clear)
    };
    let first = space((x + 9.0, y - high / 2.0));
    candidates.into_iter().map(space).find(fits).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_goes_where_no_other_is() {
        let beside = place(300.0, 200.0, 100.0, &[]);
        assert_eq!(beside, (309.0, 194.0, 409.0, 206.0));
        // At the right edge it goes to the left of its mark.
        assert_eq!(place(700.0, 200.0, 100.0, &[]).2, 691.0);
        let next = place(300.0, 204.0, 100.0, &[beside]);
        assert!(next.2 < beside.0 || next.1 > beside.3 || next.3 < beside.1, "{next:?}");
    }
}
