//! Options of `scaleot/dynamic-layer-replace`, and the learning rate of a step.
//!
//! Each says the paper's value, where one is known, and how well it is known: *author* (said by the authors), *third party*
//! (read in a re-implementation or a summary), *unknown* (ours). Step `t` of `T` (from 0) with warm-up `w` trains at
//! `learning_rate * factor`: `(t+1)/w` while `t < w`, then with `x = (t-w)/(T-w)`: `1`, `1-x`, or `(1+cos(pi x))/2`.

use super::policy::Grouping;
use super::reward::Reward;
use scaleot_plugin_api::Schedule;
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `scaleot/dynamic-layer-replace`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DynamicLayerReplaceOptions {
    /// Rounds, each a gradient step on substitutes and a reinforcement step on scores. Paper: unknown; for a 1.3B model a few
    /// thousand are likely.
    #[schemars(range(min = 1))]
    pub steps: u32,
    /// Layers of one group (N_g); in each, half are kept. Paper: 4 (third party; "size" is their reading of it).
    /// 0 makes one group of all layers.
    #[schemars(range(min = 0))]
    pub group_size: u32,
    /// Groups whose layers are compared. Paper: layers are "regrouped" (author), which reads either way. "shuffled" makes scores of
    /// all layers comparable, as a choice over all layers needs; "contiguous" never replaces a long run of layers, but ranks
    /// inside groups only. A last group of one layer is replaced.
    pub grouping: Grouping,
    /// Mixtures that are compared on one held-out batch (N_c). Paper: 3 (third party).
    #[schemars(range(min = 2))]
    pub candidates: u32,
    /// Gradient steps for one reinforcement step. Paper: the two alternate (author), hence 1.
    #[schemars(range(min = 1))]
    pub reinforce_every: u32,
    /// Reward of a candidate. Paper: "raw", `exp(-loss)` minus the mean (third party); at a score_rate of 1 that moves scores by
    /// about 1e-4 a step, so they rank layers, but steer the mixtures only after thousands of steps. "standardised" divides by
    /// the deviation too, hence works at any loss, and steers after hundreds.
    pub reward: Reward,
    /// Length of a reinforcement step (eta). Paper: unknown; its formula has none, one re-implementation 0.1, both
    /// with raw rewards. For standardised rewards 0.02 in runs of thousands of steps, 0.05 in short ones; greater rates end
    /// noisier.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub score_rate: f64,
    /// Scores stay within plus and minus this, because at greater ones the update vanishes. Paper: unknown.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub score_limit: f64,
    /// AdamW's peak learning rate on substitutes; 0 leaves them as they are. Paper: 1e-4 (third party) at batches of 32 and
    /// more and thousands of steps; ours is ten times that, because runs are ten times shorter and batches smaller.
    #[schemars(range(min = 0.0))]
    pub learning_rate: f64,
    /// Steps of the linear rise to the peak. Paper: unknown; Offsite-Tuning's distillation takes 2000, more than our steps.
    #[schemars(range(min = 0))]
    pub warmup_steps: u32,
    /// Schedule after the rise. Paper: unknown; "cosine" is that of Offsite-Tuning's distillation.
    pub schedule: Schedule,
}

impl Default for DynamicLayerReplaceOptions {
    fn default() -> Self {
        Self {
            steps: 500,
            group_size: 4,
            grouping: Grouping::Shuffled,
            candidates: 3,
            reinforce_every: 1,
            reward: Reward::Standardised,
            score_rate: 0.05,
            score_limit: 6.0,
            learning_rate: 1e-3,
            warmup_steps: 20,
            schedule: Schedule::Cosine,
        }
    }
}

impl DynamicLayerReplaceOptions {
    /// The learning rate of step `step`, counted from 0.
    pub(super) fn learning_rate_at(&self, step: u64) -> f64 {
        let (warmup, total) = (u64::from(self.warmup_steps), u64::from(self.steps));
        if step < warmup {
            // From 1, not 0: a step of rate 0 would waste a batch.
            return self.learning_rate * (step + 1) as f64 / warmup as f64;
        }
        let progress = (step - warmup) as f64 / total.saturating_sub(warmup).max(1) as f64;
        self.learning_rate * self.schedule.factor(progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: Schedule, warmup_steps: u32) -> Vec<f64> {
        let options = DynamicLayerReplaceOptions {
            steps: 6,
            warmup_steps,
            schedule,
            learning_rate: 8.0,
            ..DynamicLayerReplaceOptions::default()
        };
        (0..6).map(|step| (options.learning_rate_at(step) * 1e9).round() / 1e9).collect()
    }

    #[test]
    fn the_learning_rate_rises_then_follows_the_schedule() {
        assert_eq!(rates(Schedule::Constant, 2), [4.0, 8.0, 8.0, 8.0, 8.0, 8.0]);
        assert_eq!(rates(Schedule::Linear, 2), [4.0, 8.0, 8.0, 6.0, 4.0, 2.0]);
        // Quarters of half a cosine: 4 (1 + cos(pi/4)) = 6.828427125.
        assert_eq!(rates(Schedule::Cosine, 2), [4.0, 8.0, 8.0, 6.828_427_125, 4.0, 1.171_572_875]);
        assert_eq!(rates(Schedule::Constant, 0), [8.0; 6]);
        assert_eq!(
            rates(Schedule::Linear, 12),
            [8.0 / 12.0, 16.0 / 12.0, 2.0, 32.0 / 12.0, 40.0 / 12.0, 4.0].map(|x: f64| (x * 1e9).round() / 1e9)
        );
    }
}
