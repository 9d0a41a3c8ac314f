//! The best point within bounds: the highest plug-in accuracy of those that satisfy all, and why the others do not.
//!
//! Accuracies are means over the suite's tasks. Of equals the better protected one is chosen, then the smaller bundle.

use serde::Serialize;

use super::result::{Point, SuiteResult};
use scaleot_pipeline::report::size;

/// The bounds that a point must satisfy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Bounds {
    /// Greatest accuracy of the tuned emulator.
    pub max_emulator: Option<f64>,
    /// Least accuracy of the plugged-in model.
    pub min_plug_in: Option<f64>,
    /// Greatest size of the bundle in bytes.
    pub max_bundle: Option<u64>,
}

/// The chosen point, and the reasons.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    pub bounds: Bounds,
    /// None where no point satisfies all bounds.
    pub chosen: Option<Chosen>,
    /// The others that satisfy all bounds, best first.
    pub runners_up: Vec<Chosen>,
    pub excluded: Vec<Excluded>,
}

/// A point that satisfies all bounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chosen {
    pub point: String,
    pub emulator_tuned: f64,
    pub plug_in: f64,
    pub bundle_bytes: Option<u64>,
}

/// A point that does not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Excluded {
    pub point: String,
    /// Every bound that it breaks.
    pub because: Vec<String>,
}

/// Chooses the best point within the bounds.
pub fn choose(result: &SuiteResult, bounds: Bounds) -> Choice {
    let (mut kept, mut excluded) = (Vec::new(), Vec::new());
    for point in &result.points {
        match judge(point, result, bounds) {
            Ok(chosen) => kept.push(chosen),
            Err(because) => excluded.push(Excluded { point: point.label.clone(), because }),
        }
    }
    kept.sort_by(|a, b| {
        let bundle = |chosen: &Chosen| chosen.bundle_bytes.unwrap_or(u64::MAX);
        let protection = a.emulator_tuned.total_cmp(&b.emulator_tuned);
        b.plug_in.total_cmp(&a.plug_in).then(protection).then(bundle(a).cmp(&bundle(b)))
    });
    let mut kept = kept.into_iter();
    Choice { bounds, chosen: kept.next(), runners_up: kept.collect(), excluded }
}

/// A point's figures, or what speaks against it.
fn judge(point: &Point, result: &SuiteResult, bounds: Bounds) -> Result<Chosen, Vec<String>> {
    let Some(standing) = point.standing else {
        let missing = result.missing.iter().filter(|missing| missing.point == point.label).count();
        return Err(vec![match missing {
            0 => "no accuracy of both emulator-tuned and plug-in; evaluate.columns must name both".to_owned(),
            missing => format!("{missing} of its cells missing"),
        }]);
    };
    let mut because = Vec::new();
    if let Some(most) = bounds.max_emulator.filter(|most| standing.emulator_tuned > *most) {
        because.push(format!("emulator-tuned {:.3} is above {most:.3}", standing.emulator_tuned));
    }
    if let Some(least) = bounds.min_plug_in.filter(|least| standing.plug_in < *least) {
        because.push(format!("plug-in {:.3} is below {least:.3}", standing.plug_in));
    }
    match (bounds.max_bundle, point.bundle_bytes) {
        (Some(most), Some(bytes)) if bytes > most => {
            because.push(format!("bundle of {} is above {}", size(bytes), size(most)));
        }
        (Some(_), None) => because.push("bundle of unknown size".to_owned()),
        _ => {}
    }
    if !because.is_empty() {
        return Err(because);
    }
    Ok(Chosen {
        point: point.label.clone(),
        emulator_tuned: standing.emulator_tuned,
        plug_in: standing.plug_in,
        bundle_bytes: point.bundle_bytes,
    })
}

impl Choice {
    /// The choice and its reasons, for people.
    pub fn page(&self) -> String {
        let mut lines = Vec::new();
        match &self.chosen {
            Some(chosen) => lines.push(format!("{}: the highest plug-in accuracy within the bounds", figures(chosen))),
            None => lines.push("no point satisfies all bounds".to_owned()),
        }
        lines.extend(self.runners_up.iter().map(|point| format!("  within the bounds too: {}", figures(point))));
        let excluded = self.excluded.iter();
        lines.extend(excluded.map(|point| format!("  excluded: {}: {}", point.point, point.because.join("; "))));
        lines.join("\n")
    }
}

fn figures(point: &Chosen) -> String {
    let bundle = point.bundle_bytes.map_or_else(|| "unknown".to_owned(), size);
    let Chosen { point, emulator_tuned, plug_in, .. } = point;
    format!("{point}: plug-in {plug_in:.3}, emulator-tuned {emulator_tuned:.3}, bundle {bundle}")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cells::PointKey;
    use crate::result::{Missing, Standing};

    pub(crate) fn point(label: &str, emulator_tuned: f64, plug_in: f64, bundle: Option<u64>) -> Point {
        Point {
            key: PointKey { method: label.to_owned(), settings: Vec::new() },
            label: label.to_owned(),
            rows: Vec::new(),
            bundle_bytes: bundle,
            seconds: None,
            standing: Some(Standing { emulator_tuned, plug_in }),
            dominated_by: Vec::new(),
        }
    }

    fn result() -> SuiteResult {
        let mut broken = point("broken", 0.1, 0.9, None);
        broken.standing = None;
        let missing = Missing {
            cell: "broken.arc_easy.seed-0".into(),
            point: "broken".into(),
            task: "arc_easy".into(),
            seed: 0,
            reason: "step 3: loss is NaN".into(),
        };
        SuiteResult {
            suite: "demo".into(),
            tasks: vec!["arc_easy".into()],
            seeds: vec![0],
            columns: Vec::new(),
            points: vec![
                point("whole", 0.50, 0.60, Some(400 << 20)),
                point("light", 0.38, 0.52, Some(150 << 20)),
                point("lighter", 0.38, 0.52, Some(120 << 20)),
                point("safe", 0.30, 0.45, Some(90 << 20)),
                broken,
            ],
            comparisons: Vec::new(),
            missing: vec![missing],
            seconds: 0.0,
            cells: Vec::new(),
        }
    }

    #[test]
    fn the_best_within_bounds_and_why_not_the_others() {
        let bounds = Bounds { max_emulator: Some(0.40), min_plug_in: Some(0.5), max_bundle: Some(200_000_000) };
        insta::assert_snapshot!(choose(&result(), bounds).page(), @r"
        lighter: plug-in 0.520, emulator-tuned 0.380, bundle 120.0 MiB: the highest plug-in accuracy within the bounds
          within the bounds too: light: plug-in 0.520, emulator-tuned 0.380, bundle 150.0 MiB
          excluded: whole: emulator-tuned 0.500 is above 0.400; bundle of 400.0 MiB is above 190.7 MiB
          excluded: safe: plug-in 0.450 is below 0.500
          excluded: broken: 1 of its cells missing
        ");
    }

    #[test]
    fn bounds_that_nothing_satisfies() {
        let bounds = Bounds { min_plug_in: Some(0.95), ..Bounds::default() };
        let choice = choose(&result(), bounds);
        assert_eq!(choice.chosen, None);
        assert!(
            choice.page().starts_with("no point satisfies all bounds\n  excluded: whole: plug-in 0.600 is below 0.950")
        );
        assert_eq!(choose(&result(), Bounds::default()).chosen.unwrap().point, "whole");
    }
}
