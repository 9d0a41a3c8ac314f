//! The batches of an optimiser step.
//!
//! An epoch of `B` batches has `ceil(B / a)` steps of `a` batches; the last takes what is left, as in Transformers 5, so that no
//! step reaches into the next epoch. The batches of step `s` are a function of `s` alone: a resumed run needs no other state.

use std::ops::Range;

/// The gathering of batches into steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepBatches {
    /// `B`.
    pub per_epoch: u64,
    /// `a`.
    pub accumulation: u64,
}

impl StepBatches {
    /// `ceil(B / a)`, at least 1.
    #[must_use]
    pub fn steps_per_epoch(self) -> u64 {
        self.per_epoch.div_ceil(self.accumulation.max(1)).max(1)
    }

    /// The batches of step `step`, counted over all epochs.
    #[must_use]
    pub fn of(self, step: u64) -> Range<u64> {
        let (epoch, within) = (step / self.steps_per_epoch(), step % self.steps_per_epoch());
        let start = within * self.accumulation.max(1);
        let end = (start + self.accumulation.max(1)).min(self.per_epoch.max(1));
        let before = epoch * self.per_epoch.max(1);
        before + start..before + end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_step_of_an_epoch_takes_what_is_left() {
        let batches = |per_epoch, accumulation, steps: u64| -> Vec<Range<u64>> {
            let plan = StepBatches { per_epoch, accumulation };
            (0..steps).map(|step| plan.of(step)).collect()
        };
        assert_eq!(batches(5, 2, 6), [0..2, 2..4, 4..5, 5..7, 7..9, 9..10]);
        assert_eq!(batches(5, 8, 3), [0..5, 5..10, 10..15]);
        assert_eq!(batches(4, 2, 3), [0..2, 2..4, 4..6]);
        assert_eq!(batches(1, 1, 2), [0..1, 1..2]);
        assert_eq!(StepBatches { per_epoch: 13, accumulation: 8 }.steps_per_epoch(), 2);
    }

    proptest! {
        /// So many epochs take every batch exactly once each, in order.
        #[test]
        fn epochs_are_whole(per_epoch in 1_u64..40, accumulation in 1_u64..12, epochs in 1_u64..4) {
            let plan = StepBatches { per_epoch, accumulation };
            let taken: Vec<u64> = (0..epochs * plan.steps_per_epoch()).flat_map(|step| plan.of(step)).collect();
            prop_assert_eq!(taken, (0..epochs * per_epoch).collect::<Vec<_>>());
        }
    }
}
