//! The reward of candidates, and the update of scores (ScaleOT, Eq. 5).
//!
//! `R_j = exp(-L_j)`, the geometric-mean probability of a token; `r_j = R_j - mean_k R_k`, or that over the deviation;
//! `s_i <- s_i + eta sigmoid(s_i) (1 - sigmoid(s_i)) sum_j m_i^j r_j`, `m = 1` where the layer is kept. Because `sum_j r_j = 0`,
//! this is half of the form with `2m - 1`: it does not matter whether kept layers are paid or replaced ones fined.

use super::policy::sigmoid;
use scaleot_plugin_api::LayerMask;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keeps the division of equal rewards defined; far below the deviation of rewards of real losses.
const EPSILON: f64 = 1e-8;

/// The reward of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reward {
    /// `R_j - mean R`.
    Raw,
    /// `(R_j - mean R) / (deviation of R + 1e-8)`, the deviation over the candidates, divided by their count.
    Standardised,
}

impl Reward {
    /// One reward per loss; their sum is 0.
    pub(super) fn of(self, losses: &[f64]) -> Vec<f64> {
        let probabilities: Vec<f64> = losses.iter().map(|loss| (-loss).exp()).collect();
        let count = losses.len().max(1) as f64;
        let mean = probabilities.iter().sum::<f64>() / count;
        let mut rewards: Vec<f64> = probabilities.into_iter().map(|probability| probability - mean).collect();
        if self == Self::Standardised {
            let deviation = (rewards.iter().map(|reward| reward * reward).sum::<f64>() / count).sqrt();
            rewards.iter_mut().for_each(|reward| *reward /= deviation + EPSILON);
        }
        rewards
    }
}

/// The update of scores.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScoreUpdate {
    /// `eta`.
    pub(super) rate: f64,
    /// Scores stay within plus and minus this.
    pub(super) limit: f64,
}

impl ScoreUpdate {
    /// Eq. 5, for all layers at once.
    pub(super) fn apply(self, scores: &mut [f64], masks: &[LayerMask], rewards: &[f64]) {
        for (layer, score) in scores.iter_mut().enumerate() {
            let kept = masks.iter().zip(rewards).filter(|(mask, _)| mask.original.get(layer) == Some(&true));
            let earned: f64 = kept.map(|(_, reward)| reward).sum();
            let slope = sigmoid(*score) * (1.0 - sigmoid(*score));
            *score = (*score + self.rate * earned * slope).clamp(-self.limit, self.limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: ScoreUpdate = ScoreUpdate { rate: 0.4, limit: 6.0 };

    fn mask(bits: &[u8]) -> LayerMask {
        LayerMask::new(bits.iter().map(|&bit| bit == 1).collect())
    }

    fn close(found: &[f64], expected: &[f64]) {
        let near = found.iter().zip(expected).all(|(x, y)| (x - y).abs() < 1e-12);
        assert!(found.len() == expected.len() && near, "found {found:?}, expected {expected:?}");
    }

    /// Losses whose `exp(-L)` are 0.2, 0.4 and 0.6: mean 0.4, deviation sqrt(0.08 / 3).
    fn losses() -> [f64; 3] {
        [-f64::ln(0.2), -f64::ln(0.4), -f64::ln(0.6)]
    }

    #[test]
    fn rewards_are_probabilities_around_their_mean() {
        close(&Reward::Raw.of(&losses()), &[-0.2, 0.0, 0.2]);
        let scale = 0.2 / (f64::sqrt(0.08 / 3.0) + 1e-8);
        close(&Reward::Standardised.of(&losses()), &[-scale, 0.0, scale]);
        assert!((scale - 1.224_744_8).abs() < 1e-6, "sqrt(3/2), less the epsilon");
        for reward in [Reward::Raw, Reward::Standardised] {
            close(&reward.of(&[3.0, 3.0, 3.0]), &[0.0; 3]);
            for losses in [vec![0.1, 2.0], vec![3.1, 2.9, 3.3, 8.0, 0.5], vec![11.0, 11.1, 10.9]] {
                assert!(reward.of(&losses).iter().sum::<f64>().abs() < 1e-12);
            }
        }
        let rewards = Reward::Raw.of(&[2.0, 3.0]);
        assert!(rewards[0] > 0.0, "the smaller loss earns more: {rewards:?}");
    }

    /// By hand: slopes 0.25, 0.1875 (sigmoid = 3/4), 0.25; earned 0.2 - 0.2 + 0 = 0, then 0.2, then -0.2.
    #[test]
    fn scores_follow_what_their_layers_earned() {
        let mut scores = [0.0, f64::ln(3.0), 0.0];
        let masks = [mask(&[1, 0, 1]), mask(&[1, 0, 0]), mask(&[1, 1, 0])];
        FREE.apply(&mut scores, &masks, &[-0.2, 0.0, 0.2]);
        close(&scores, &[0.0, f64::ln(3.0) + 0.015, -0.02]);
    }

    #[test]
    fn a_layer_kept_or_replaced_in_all_candidates_does_not_move() {
        let mut scores = [0.5, -0.5, 0.1];
        FREE.apply(&mut scores, &[mask(&[1, 0, 1]), mask(&[1, 0, 0]), mask(&[1, 0, 0])], &Reward::Raw.of(&losses()));
        close(&scores[..2], &[0.5, -0.5]);
        assert!(scores[2] < 0.1 - 1e-3);
    }

    #[test]
    fn the_update_is_half_of_the_symmetric_form() {
        let masks = [mask(&[1, 1, 0, 0]), mask(&[0, 1, 0, 1]), mask(&[1, 0, 0, 1])];
        let start = [0.0, 0.7, -1.2, 2.0];
        for reward in [Reward::Raw, Reward::Standardised] {
            let rewards = reward.of(&[2.0, 3.0, 2.5]);
            let mut scores = start;
            FREE.apply(&mut scores, &masks, &rewards);
            let symmetric = |layer: usize| {
                let sign = |mask: &LayerMask| if mask.original[layer] { 1.0 } else { -1.0 };
                let paid: f64 = masks.iter().zip(&rewards).map(|(mask, reward)| sign(mask) * reward).sum();
                // The derivative of the logistic function in its other form.
                let slope = 1.0 / (2.0 + start[layer].exp() + (-start[layer]).exp());
                start[layer] + 0.5 * FREE.rate * paid * slope
            };
            close(&scores, &[symmetric(0), symmetric(1), symmetric(2), symmetric(3)]);
        }
    }

    #[test]
    fn scores_stay_within_the_limit() {
        let mut scores = [0.0, 0.0];
        ScoreUpdate { rate: 100.0, limit: 2.0 }.apply(&mut scores, &[mask(&[1, 0]), mask(&[0, 1])], &[1.0, -1.0]);
        assert_eq!(scores, [2.0, -2.0]);
    }
}
