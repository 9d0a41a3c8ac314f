//! A mean with its standard error, as lm-evaluation-harness computes it.
//!
//! `stderr = s / sqrt(n)`, `s² = Σ (x - mean)² / (n - 1)`; none for one value.

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub mean: f64,
    pub stderr: Option<f64>,
    pub n: usize,
}

impl Estimate {
    /// None for no values.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let stderr = (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt() / n.sqrt());
        Some(Self { mean, stderr, n: values.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::Estimate;

    #[test]
    fn the_harness_figures() {
        // numpy: np.std([1,0,0,1,1], ddof=1) / np.sqrt(5)
        let five = Estimate::of(&[1.0, 0.0, 0.0, 1.0, 1.0]).unwrap();
        assert!((five.mean - 0.6).abs() < 1e-12);
        assert!((five.stderr.unwrap() - 0.244_948_974_278_317_83).abs() < 1e-12);
        // 298 right of 570: sqrt(p (1 - p) / (n - 1)).
        let values: Vec<f64> = (0..570).map(|i| f64::from(u8::from(i < 298))).collect();
        assert!((Estimate::of(&values).unwrap().stderr.unwrap() - 0.020_939_272_809_326_476).abs() < 1e-9);
        assert_eq!(Estimate::of(&[2.5]).unwrap().stderr, None);
        assert_eq!(Estimate::of(&[]), None);
    }
}
