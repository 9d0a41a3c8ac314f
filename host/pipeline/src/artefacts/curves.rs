//! The curves that an importance stage keeps beside its scores: a value or a row of values per step.

use scaleot_plugin_api::CurvePoint;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One curve: after `steps[i]` steps, `values[i]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// Ascending.
    pub steps: Vec<u64>,
    /// One row per step, all of the same length.
    pub values: Vec<Vec<f64>>,
}

/// Curves by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Curves(pub BTreeMap<String, Curve>);

impl Curves {
    /// Adds a point.
    ///
    /// # Errors
    /// A point that does not fit the curve so far: a value that is not finite, a step that goes back, another count of values.
    pub fn add(&mut self, point: CurvePoint) -> Result<(), String> {
        let CurvePoint { curve: name, step, values, .. } = point;
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(format!("curve {name} at step {step}: found {value}, expected finite values"));
        }
        let curve = self.0.entry(name.clone()).or_default();
        if let Some(&last) = curve.steps.last().filter(|&&last| step <= last) {
            return Err(format!("curve {name}: found step {step} after {last}, expected ascending steps"));
        }
        let width = curve.values.first().map_or(values.len(), Vec::len);
        if values.is_empty() || values.len() != width {
            let found = values.len();
            return Err(format!("curve {name} at step {step}: found {found} values, expected {}", width.max(1)));
        }
        curve.steps.push(step);
        curve.values.push(values);
        Ok(())
    }

    /// Points of all curves together.
    pub fn points(&self) -> usize {
        self.0.values().map(|curve| curve.steps.len()).sum()
    }

    /// The curve of this name.
    pub fn get(&self, name: &str) -> Option<&Curve> {
        self.0.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(step: u64, values: &[f64]) -> CurvePoint {
        CurvePoint::new("scores", step, values.to_vec())
    }

    #[test]
    fn only_what_fits_is_kept() {
        let mut curves = Curves::default();
        curves.add(point(1, &[0.5, 0.25])).unwrap();
        curves.add(point(4, &[0.5, 0.125])).unwrap();
        assert!(curves.add(point(4, &[0.0, 0.0])).unwrap_err().contains("found step 4 after 4"));
        assert!(curves.add(point(5, &[0.0])).unwrap_err().contains("found 1 values, expected 2"));
        assert!(curves.add(point(5, &[f64::NAN, 0.0])).unwrap_err().contains("NaN"));
        let curve = curves.get("scores").unwrap();
        assert_eq!((curve.steps.as_slice(), curve.values.len()), (&[1, 4][..], 2));
    }
}
