//! Bundle size and time of every method as bars, one below another in the order of the suite.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axes::{Drawn, INK, colour, letters, shorten, width};
use super::{coloured_points, drawing_error};
use crate::result::SuiteResult;
use scaleot_pipeline::error::StageError;
use scaleot_pipeline::report::size;

const WIDE: u32 = 560;
const BAR: u32 = 24;
const HEAD: u32 = 30;
const LABEL: usize = 32;
/// Right of the longest bar, for its figure.
const ROOM: f64 = 76.0;

/// One picture for each kind of cost that is known.
pub(super) fn svg(result: &SuiteResult) -> Result<Vec<Drawn>, StageError> {
    let bytes = coloured_points(result).filter_map(|(at, point)| {
        let bytes = point.bundle_bytes?;
        Some((at, point.label.as_str(), bytes as f64, size(bytes)))
    });
    let seconds = coloured_points(result).filter_map(|(at, point)| {
        let seconds = point.seconds?;
        let words = if seconds < 120.0 { format!("{seconds:.1} s") } else { format!("{:.1} min", seconds / 60.0) };
        Some((at, point.label.as_str(), seconds, words))
    });
    let kinds = [("bundle", bytes.collect::<Vec<_>>()), ("time", seconds.collect())];
    kinds.iter().filter(|(_, bars)| !bars.is_empty()).map(|(title, bars)| draw(title, bars)).collect()
}

/// Place in the palette, label, length, figure in words.
type Bar<'a> = (usize, &'a str, f64, String);

fn draw(title: &str, bars: &[Bar<'_>]) -> Result<Drawn, StageError> {
    let labels: Vec<String> = bars.iter().map(|(_, label, _, _)| shorten(label, LABEL)).collect();
    let left = labels.iter().map(|label| width(label, 12)).fold(0.0, f64::max) + 16.0;
    let longest = bars.iter().map(|(_, _, length, _)| *length).fold(f64::MIN_POSITIVE, f64::max);
    let scale = (f64::from(WIDE) - left - ROOM).max(40.0) / longest;
    let high = HEAD + BAR * u32::try_from(bars.len()).unwrap_or(u32::MAX / BAR - HEAD) + 6;
    let mut picture = String::new();
    {
        let area = SVGBackend::with_string(&mut picture, (WIDE, high)).into_drawing_area();
        area.draw(&Text::new(title.to_owned(), (left as i32, 8), letters(14))).map_err(drawing_error)?;
        for (row, ((index, _, length, words), label)) in (0_i32..).zip(bars.iter().zip(&labels)) {
            let top = HEAD as i32 + row * BAR as i32;
            let (from, to) = (left as i32, (left + length * scale).round() as i32);
            let bar =
                Rectangle::new([(from, top + 3), (to.max(from + 1), top + BAR as i32 - 5)], colour(*index).filled());
            area.draw(&bar).map_err(drawing_error)?;
            let to_the_right = letters(12).pos(Pos::new(HPos::Right, VPos::Top));
            area.draw(&Text::new(label.clone(), (from - 6, top + 5), to_the_right)).map_err(drawing_error)?;
            area.draw(&Text::new(words.clone(), (to + 6, top + 5), letters(12))).map_err(drawing_error)?;
        }
        let base = [(left as i32, HEAD as i32), (left as i32, high as i32 - 6)];
        area.draw(&PathElement::new(base, INK.mix(0.4))).map_err(drawing_error)?;
        area.present().map_err(drawing_error)?;
    }
    Ok(picture)
}
