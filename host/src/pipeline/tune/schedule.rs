//! Learning-rate schedules: warm-up, then constant, linear to zero, or half a cosine to zero.
//!
//! Step `t` of `T` (from 0) with warm-up `w`: `t < w: t/w`; then with `x = (t-w)/(T-w)`: `1`, `1-x`, or `(1+cos(pi x))/2`,
//! as `transformers.get_scheduler` computes them.

pub use crate::config::Schedule;

impl Schedule {
    /// The factor on the peak learning rate in step `step` (from 0) of `total`.
    #[must_use]
    pub fn factor(self, step: u64, total: u64, warmup: u64) -> f64 {
        if step < warmup {
            return step as f64 / warmup as f64;
        }
        let progress = (step - warmup) as f64 / total.saturating_sub(warmup).max(1) as f64;
        let progress = progress.min(1.0);
        match self {
            Self::Constant => 1.0,
            Self::Linear => 1.0 - progress,
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `transformers.get_scheduler(name, warmup 2, total 6)`, the six factors.
    #[test]
    fn follows_transformers() {
        let factors = |schedule: Schedule| -> Vec<f64> {
            (0..6).map(|step| (schedule.factor(step, 6, 2) * 1e4).round() / 1e4).collect()
        };
        assert_eq!(factors(Schedule::Constant), [0.0, 0.5, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(factors(Schedule::Linear), [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]);
        assert_eq!(factors(Schedule::Cosine), [0.0, 0.5, 1.0, 0.8536, 0.5, 0.1464]);
    }
}
