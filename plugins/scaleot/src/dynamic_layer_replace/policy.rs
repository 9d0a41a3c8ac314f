//! The action policy: which layers a mixture keeps (ScaleOT, "dynamic layer replace").
//!
//! `p_i = u_i sigmoid(s_i)`, `u_i ~ U(0, 1)`: each layer draws from `U(0, sigmoid(s_i))`. Inside each group the layers with `p_i`
//! strictly above the lower median are kept: `floor(|G|/2)` of `|G|`, 2 of 4. For `sigmoid(s_1) >= sigmoid(s_2)`:
//! `P(p_1 > p_2) = 1 - sigmoid(s_2) / (2 sigmoid(s_1))`. Draws of step `t` are a function of `(seed, t)`.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use scaleot_plugin_api::LayerMask;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The layers that share a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// Those of a fresh random order in every draw: over time every layer is compared with every other.
    Shuffled,
    /// Neighbours, always the same: layers are only ever compared inside their group.
    Contiguous,
}

/// `1 / (1 + e^-s)`.
pub(super) fn sigmoid(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

/// The random numbers of step `step`: a stream of its own, so a restart needs no state of the generator.
pub(super) fn draws_of(seed: u64, step: u64) -> ChaCha8Rng {
    let mut draws = ChaCha8Rng::seed_from_u64(seed);
    draws.set_stream(step);
    draws
}

/// A sampler of masks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    pub(super) grouping: Grouping,
    /// Layers of a group; 0 puts all in one.
    pub(super) group_size: usize,
}

impl Policy {
    /// One mixture. Draws one number per layer, then, when shuffled, one more per layer for the order.
    pub(super) fn mask(self, scores: &[f64], draws: &mut impl RngCore) -> LayerMask {
        let chances: Vec<f64> = scores.iter().map(|&score| uniform(draws) * sigmoid(score)).collect();
        let mut order: Vec<(usize, f64)> = chances.into_iter().enumerate().collect();
        if self.grouping == Grouping::Shuffled {
            // By 64-bit keys: two alike are too rare to bias the order.
            order.sort_by_cached_key(|_| draws.next_u64());
        }
        let size = if self.group_size == 0 { order.len().max(1) } else { self.group_size };
        let mut original = vec![false; scores.len()];
        for group in order.chunks_mut(size) {
            // The upper half: strictly above the lower median, and exactly half even if two draws were equal.
            group.sort_by(|(_, a), (_, b)| b.total_cmp(a));
            for (layer, _) in group.iter().take(group.len() / 2) {
                original.get_mut(*layer).into_iter().for_each(|slot| *slot = true);
            }
        }
        LayerMask::new(original)
    }
}

/// Uniform in `[0, 1)`: the top 53 bits.
fn uniform(draws: &mut impl RngCore) -> f64 {
    (draws.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Grouping; 2] = [Grouping::Shuffled, Grouping::Contiguous];

    fn kept(mask: &LayerMask) -> usize {
        mask.original.iter().filter(|&&original| original).count()
    }

    /// The number of times that each layer is kept in `rounds` draws.
    fn frequencies(policy: Policy, scores: &[f64], rounds: u64) -> Vec<f64> {
        let mut counts = vec![0.0; scores.len()];
        let mut draws = draws_of(11, 0);
        for _ in 0..rounds {
            let mask = policy.mask(scores, &mut draws);
            counts.iter_mut().zip(mask.original).for_each(|(count, original)| *count += f64::from(u8::from(original)));
        }
        counts.into_iter().map(|count| count / rounds as f64).collect()
    }

    /// Masks: every full group of 4 keeps 2, a shorter last group the floor of its half.
    #[test]
    fn every_group_keeps_half_of_its_layers() {
        // (layers, group size, kept): a last group of 1, 2 and 3 layers; groups of 5; one group of all.
        for (n, group_size, expected) in [(24, 4, 12), (25, 4, 12), (26, 4, 13), (27, 4, 13), (12, 5, 5), (9, 0, 4)] {
            let scores: Vec<f64> = (0..n).map(|layer| f64::from(layer % 7) - 3.0).collect();
            for grouping in BOTH {
                for step in 0..500 {
                    let mask = Policy { grouping, group_size }.mask(&scores, &mut draws_of(5, step));
                    assert_eq!((mask.original.len(), kept(&mask)), (scores.len(), expected), "{grouping:?} {n}");
                }
            }
        }
    }

    #[test]
    fn contiguous_groups_are_neighbours_and_shuffled_ones_are_not() {
        let in_fours = |grouping| {
            let draw = |step| Policy { grouping, group_size: 4 }.mask(&[0.0; 24], &mut draws_of(3, step));
            (0..200)
                .all(|step| draw(step).original.chunks(4).all(|four| four.iter().filter(|&&kept| kept).count() == 2))
        };
        assert!(in_fours(Grouping::Contiguous));
        assert!(!in_fours(Grouping::Shuffled));
    }

    #[test]
    fn layers_of_higher_score_are_kept_more_often() {
        for grouping in BOTH {
            let found = frequencies(Policy { grouping, group_size: 4 }, &[-1.5, -0.5, 0.5, 1.5], 20_000);
            // Neighbours differ by about 0.1; the standard error of a frequency is 0.0035.
            assert!(found.windows(2).all(|pair| pair[1] > pair[0] + 0.04), "{grouping:?} {found:?}");
            let equal = frequencies(Policy { grouping, group_size: 4 }, &[0.3; 8], 20_000);
            assert!(equal.iter().all(|share| (share - 0.5).abs() < 4.0 * 0.0036), "{grouping:?} {equal:?}");
        }
    }

    #[test]
    fn of_two_layers_the_better_is_kept_as_often_as_the_formula_says() {
        let rounds = 40_000;
        // sigmoid(ln(x / (1 - x))) = x.
        let score = |sigma: f64| (sigma / (1.0 - sigma)).ln();
        for (upper, lower, expected) in [(0.5, 0.5, 0.5), (0.8, 0.4, 0.75), (0.9, 0.3, 5.0 / 6.0), (0.5, 0.05, 0.95)] {
            let error = 4.0 * f64::sqrt(expected * (1.0 - expected) / rounds as f64);
            for grouping in BOTH {
                let found = frequencies(Policy { grouping, group_size: 2 }, &[score(lower), score(upper)], rounds)[1];
                assert!((found - expected).abs() < error, "{upper} against {lower}: {found}, expected {expected}");
            }
        }
    }

    #[test]
    fn draws_depend_on_seed_and_step_alone() {
        let mask = |seed, step| {
            Policy { grouping: Grouping::Shuffled, group_size: 4 }.mask(&[0.0; 24], &mut draws_of(seed, step))
        };
        assert_eq!(mask(1, 7), mask(1, 7));
        assert_ne!(mask(1, 7), mask(1, 8));
        assert_ne!(mask(1, 7), mask(2, 7));
        // Pinned: a change here breaks the resuming of runs made by older builds.
        let kept: Vec<usize> = (0..24).filter(|&layer| mask(42, 3).original[layer]).collect();
        assert_eq!(kept, [2, 5, 7, 8, 9, 10, 12, 15, 17, 18, 19, 23]);
    }
}
