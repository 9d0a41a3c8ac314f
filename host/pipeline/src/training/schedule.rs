//! Learning rates with a warm-up from 0, as `transformers.get_scheduler` computes them.
//!
//! Step `t` of `T` (from 0) with warm-up `w`: `t < w: t/w`; then with `x = (t-w)/(T-w)`: `1`, `1-x`, or `(1+cos(pi x))/2`.

pub use scaleot_config::Schedule;

/// The factor on the peak learning rate in step `step` (from 0) of `total`.
#[must_use]
pub fn rate_factor(schedule: Schedule, step: u64, total: u64, warmup: u64) -> f64 {
    if step < warmup {
        return step as f64 / warmup as f64;
    }
    let along = (step - warmup) as f64 / total.saturating_sub(warmup).max(1) as f64;
    schedule.factor(along.min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `transformers.get_scheduler(name, warmup 2, total 6)`, the six factors.
    #[test]
    fn follows_transformers() {
        let factors = |schedule: Schedule| -> Vec<f64> {
            (0..6).map(|step| (rate_factor(schedule, step, 6, 2) * 1e4).round() / 1e4).collect()
        };
        assert_eq!(factors(Schedule::Constant), [0.0, 0.5, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(factors(Schedule::Linear), [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]);
        assert_eq!(factors(Schedule::Cosine), [0.0, 0.5, 1.0, 0.8536, 0.5, 0.1464]);
    }
}
