//! Common parts of the pictures of the page: ink that follows the page's colours, a palette, axes, words that fit.

use plotters::prelude::*;

/// A picture as SVG.
pub(super) type Drawn = String;

/// Stands for the colour of the page's text until the picture is on the page.
pub(super) const INK: RGBColor = RGBColor(40, 44, 52);
pub(super) const GREEN: RGBColor = RGBColor(46, 150, 100);
pub(super) const GREY: RGBColor = RGBColor(140, 146, 156);
/// Legible on white and on black.
const PALETTE: [RGBColor; 8] = [
    RGBColor(70, 130, 190),
    RGBColor(46, 150, 100),
    RGBColor(205, 145, 50),
    RGBColor(200, 85, 95),
    RGBColor(140, 110, 195),
    RGBColor(50, 160, 175),
    RGBColor(160, 125, 85),
    RGBColor(210, 110, 165),
];
/// Mean width of a letter in parts of the font's size.
const LETTER: f64 = 0.56;

/// The colour of the point at this place of the suite.
pub(super) fn colour(index: usize) -> RGBColor {
    PALETTE.get(index % PALETTE.len()).copied().unwrap_or(INK)
}

/// The picture in the colour of the page's text, whether light or dark.
pub(super) fn recolour(svg: &str) -> String {
    // Words in a picture have their quotes escaped: only attributes can look like this.
    svg.replace("\"#282C34\"", "\"currentColor\"")
}

/// Letters in the colour of the text.
pub(super) fn letters(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

/// About how wide words are, in pixels.
pub(super) fn width(words: &str, size: u32) -> f64 {
    words.chars().count() as f64 * f64::from(size) * LETTER
}

/// As many words as fit, with an ellipsis in place of the middle: labels differ at their ends.
pub(super) fn shorten(words: &str, most: usize) -> String {
    let letters: Vec<char> = words.chars().collect();
    if letters.len() <= most {
        return words.to_owned();
    }
    let (head, tail) = (most / 3, most - most / 3 - 1);
    let part = |from: usize, to: usize| letters.get(from..to).unwrap_or_default().iter().collect::<String>();
    format!("{}…{}", part(0, head), part(letters.len() - tail, letters.len()))
}

/// Lowest and highest with room on both sides; never an empty range.
pub(super) fn padded_range(values: impl Iterator<Item = f64>, share: f64) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return (0.0, 1.0);
    }
    let room = ((high - low) * share).max(1e-3 * high.abs()).max(1e-6);
    (low - room, high + room)
}

/// As many digits as tell neighbouring marks of this range apart.
pub(super) fn digits(low: f64, high: f64) -> usize {
    let step = (high - low) / 8.0;
    (-step.log10()).ceil().clamp(0.0, 6.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_labels_keep_their_ends() {
        assert_eq!(shorten("uniform rank=1", 20), "uniform rank=1");
        assert_eq!(shorten("abcdefghijklmnop", 10), "abc…klmnop");
    }

    #[test]
    fn ranges_are_never_empty() {
        let (low, high) = padded_range([0.5].into_iter(), 0.1);
        assert!(low < 0.5 && high > 0.5);
        assert_eq!(padded_range([].into_iter(), 0.1), (0.0, 1.0));
        assert_eq!((digits(0.0, 100.0), digits(0.26, 0.31)), (0, 3));
    }
}
