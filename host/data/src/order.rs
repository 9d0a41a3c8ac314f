//! In which order training samples come: seeded, counter-based, resumable.
//!
//! Batch `k` of seed `s` is a pure function of `(n, batch_size, s, k)`: epoch `k / batches`, a permutation drawn from the ChaCha stream numbered by that epoch,
//! cut in pieces of `batch_size` (the last piece of an epoch may be smaller). A run that resumes at step `k` needs no other state.
//! With lengths, samples are sorted by length within pools of `POOL` batches, and the batches are shuffled once more.

use std::sync::{Arc, Mutex, PoisonError};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::error::DataError;
use crate::PackedBatch;

/// Large enough that a batch holds near-equal lengths, small enough that epochs still differ.
const POOL: usize = 32;

/// Tokens to run, and which row should predict which token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingBatch {
    pub batch: PackedBatch,
    /// (row of the batch, id of the next token), by row.
    pub targets: Vec<(usize, i64)>,
}

/// A source of training batches: batch `step` is always the same.
pub trait Batches {
    /// The batch of training step `step`, counted from 0 over all epochs.
    fn batch(&self, step: u64) -> TrainingBatch;
    /// The number of batches that go over the data once.
    fn batches_per_epoch(&self) -> u64;
}

/// One epoch's batches, as sample indices.
type Epoch = Arc<Vec<Vec<usize>>>;

/// The batches of every epoch, as sample indices.
#[derive(Debug)]
pub(crate) struct BatchOrder {
    samples: usize,
    batch_size: usize,
    seed: u64,
    lengths: Option<Vec<usize>>,
    /// The last epoch drawn: steps come in order, so one is enough.
    drawn: Mutex<Option<(u64, Epoch)>>,
}

impl BatchOrder {
    /// `what` names the data in messages.
    ///
    /// # Errors
    /// No batch size, or no sample at all. A set smaller than a batch is one short batch.
    pub(crate) fn new(what: &str, samples: usize, batch_size: usize, seed: u64) -> Result<Self, DataError> {
        if batch_size == 0 {
            return Err(DataError::Option { key: "batch_size", found: 0, expected: "at least 1" });
        }
        if samples == 0 {
            return Err(DataError::NoSample { what: what.to_owned() });
        }
        Ok(Self { samples, batch_size, seed, lengths: None, drawn: Mutex::new(None) })
    }

    /// Groups samples of like length (`lengths[sample]`), so that batches waste nothing and steps cost alike.
    #[must_use]
    pub(crate) fn grouped_by(mut self, lengths: Vec<usize>) -> Self {
        self.lengths = Some(lengths);
        self
    }

    /// Samples of one batch.
    #[must_use]
    pub(crate) fn batch_size(&self) -> usize {
        self.batch_size
    }

    #[must_use]
    pub(crate) fn batches_per_epoch(&self) -> u64 {
        self.samples.div_ceil(self.batch_size) as u64
    }

    /// The samples of batch `step`.
    #[must_use]
    pub(crate) fn batch(&self, step: u64) -> Vec<usize> {
        let (epoch, index) = (step / self.batches_per_epoch(), step % self.batches_per_epoch());
        let batches = self.epoch(epoch);
        batches.get(index as usize).cloned().unwrap_or_default()
    }

    fn epoch(&self, epoch: u64) -> Epoch {
        // The cache holds whole values only, so one left by a panicking thread is still sound.
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        match drawn.as_ref() {
            Some((number, batches)) if *number == epoch => Arc::clone(batches),
            _ => {
                let batches = Arc::new(self.draw(epoch));
                *drawn = Some((epoch, Arc::clone(&batches)));
                batches
            }
        }
    }

    fn draw(&self, epoch: u64) -> Vec<Vec<usize>> {
        let mut random = stream(self.seed, epoch);
        let mut samples: Vec<usize> = (0..self.samples).collect();
        shuffle(&mut samples, &mut random);
        let Some(lengths) = &self.lengths else {
            return cut(&samples, self.batch_size);
        };
        for pool in samples.chunks_mut(self.batch_size * POOL) {
            // Stable: equal lengths keep their shuffled order.
            pool.sort_by_key(|sample| lengths.get(*sample).copied().unwrap_or(0));
        }
        let mut batches = cut(&samples, self.batch_size);
        shuffle(&mut batches, &mut random);
        batches
    }
}

fn cut(samples: &[usize], batch_size: usize) -> Vec<Vec<usize>> {
    samples.chunks(batch_size).map(<[usize]>::to_vec).collect()
}

/// The random stream `number` of `seed`.
#[must_use]
pub(crate) fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(number);
    random
}

/// Fisher and Yates; every order alike.
pub(crate) fn shuffle<T>(items: &mut [T], random: &mut impl RngCore) {
    for last in (1..items.len()).rev() {
        items.swap(last, draw_below(last as u64 + 1, random) as usize);
    }
}

/// Uniform in `0..limit` (Lemire's multiplication, with rejection, so without bias). `limit` > 0.
fn draw_below(limit: u64, random: &mut impl RngCore) -> u64 {
    let threshold = limit.wrapping_neg() % limit;
    loop {
        let product = u128::from(random.next_u64()) * u128::from(limit);
        if product as u64 >= threshold {
            return (product >> 64) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Every epoch holds every sample once, and a second reader sees the same batches from any step on.
        #[test]
        fn epochs_are_repeatable_permutations(samples in 1_usize..200, batch in 1_usize..9, seed: u64, grouped: bool) {
            let make = || {
                let order = BatchOrder::new("x", samples, batch, seed).unwrap();
                if grouped { order.grouped_by((0..samples).map(|s| s % 7).collect()) } else { order }
            };
            let (order, resumed) = (make(), make());
            let n = order.batches_per_epoch();
            for epoch in 0..2 {
                let mut seen: Vec<usize> = (0..n).flat_map(|k| order.batch(epoch * n + k)).collect();
                seen.sort_unstable();
                prop_assert_eq!(seen, (0..samples).collect::<Vec<_>>());
            }
            prop_assert_eq!(resumed.batch(n + n / 2), order.batch(n + n / 2));
        }
    }

    #[test]
    fn the_order_is_pinned() {
        // A change here breaks the resuming of runs made by older builds.
        let order = BatchOrder::new("x", 10, 4, 42).unwrap();
        let batches: Vec<_> = (0..4).map(|step| order.batch(step)).collect();
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2, 4]);
        assert_ne!(batches[0], batches[3]);
    }

    #[test]
    fn a_small_set_is_one_short_batch() {
        let order = BatchOrder::new("validation.jsonl", 3, 8, 0).unwrap();
        assert_eq!(order.batches_per_epoch(), 1);
        for step in 0..3 {
            let mut batch = order.batch(step);
            batch.sort_unstable();
            assert_eq!(batch, [0, 1, 2]);
        }
    }

    #[test]
    fn nothing_at_all_is_refused() {
        let message = |n, b| BatchOrder::new("train.jsonl", n, b, 0).unwrap_err().to_string();
        assert_eq!(
            message(0, 8),
            "train.jsonl: found no sample, expected at least one. Add data, or name another file"
        );
        assert_eq!(message(3, 0), "`batch_size`: found 0, expected at least 1");
    }
}
