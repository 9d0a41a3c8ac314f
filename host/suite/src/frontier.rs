//! The privacy-utility frontier: emulator-tuned accuracy, which the owner wants low, against plug-in accuracy, wanted high.
//!
//! A point is dominated where another is at least as good in both and better in one; what is not dominated is the frontier.

use super::result::{Point, Standing};

/// True if `a` is at least as good as `b` in both accuracies and better in one.
pub(crate) fn dominates(a: &Standing, b: &Standing) -> bool {
    let as_good = a.emulator_tuned <= b.emulator_tuned && a.plug_in >= b.plug_in;
    as_good && (a.emulator_tuned < b.emulator_tuned || a.plug_in > b.plug_in)
}

/// Writes into every point which others dominate it; a point without a standing takes no part.
pub(crate) fn mark(points: &mut [Point]) {
    let standings: Vec<(String, Standing)> =
        points.iter().filter_map(|point| Some((point.label.clone(), point.standing?))).collect();
    for point in points {
        let Some(own) = point.standing else { continue };
        let better = standings.iter().filter(|(_, other)| dominates(other, &own));
        point.dominated_by = better.map(|(label, _)| label.clone()).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(emulator_tuned: f64, plug_in: f64) -> Standing {
        Standing { emulator_tuned, plug_in }
    }

    #[test]
    fn a_point_is_dominated_by_what_is_no_worse_and_once_better() {
        let base = standing(0.40, 0.50);
        assert!(dominates(&standing(0.39, 0.50), &base));
        assert!(dominates(&standing(0.40, 0.51), &base));
        // More useful but less private, and its like: both stay.
        assert!(!dominates(&standing(0.41, 0.60), &base) && !dominates(&base, &standing(0.41, 0.60)));
        assert!(!dominates(&base, &base));
    }

    #[test]
    fn marks_name_the_better_points() {
        let point = |label: &str, place: Option<Standing>| Point {
            label: label.to_owned(),
            standing: place,
            ..crate::choose::tests::point(label, 0.0, 0.0, None)
        };
        let mut points = [
            point("a", Some(standing(0.30, 0.50))),
            point("b", Some(standing(0.35, 0.50))),
            point("c", Some(standing(0.36, 0.49))),
            point("d", Some(standing(0.50, 0.60))),
            point("e", None),
        ];
        mark(&mut points);
        let by: Vec<Vec<String>> = points.iter().map(|point| point.dominated_by.clone()).collect();
        assert_eq!(by, [vec![], vec!["a".to_owned()], vec!["a".to_owned(), "b".to_owned()], vec![], vec![]]);
    }
}
