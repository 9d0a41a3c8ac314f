//! The sequences of a pack that share an attention call, and the rows of each call.
//!
//! Neighbouring causal sequences of one length are a plain view `[n, len, …]` of the pack: nothing is
//! gathered, padded or scattered. On the CPU everything else is a call for itself, which costs some ten
//! microseconds. On CUDA a call is dearer than the padding, so neighbours are joined: gathered to
//! `[n, longest, …]`, padded on the right where no real token looks, and scattered back.

use super::error::Result;
use scaleot_data::{Ancestry, Sequence};
use scaleot_tensor::{Device, Dtype, Tensor};

/// The sequences that one attention call serves. Rows are counted from the segment's first.
pub(super) struct Segment {
    /// Sequences in it.
    pub n: i64,
    /// Keys and queries of each, padding included.
    pub keys: i64,
    pub queries: i64,
    /// Rows of the pack that it takes up.
    pub key_rows: i64,
    pub query_rows: i64,
    /// `None`: the rows are `[n, len]` as they lie.
    pub padding: Option<Padding>,
    /// `None`: causal. Else a term for the scores, `[n, 1, queries, keys]`.
    pub mask: Option<Tensor>,
}

/// Indices that bring rows into `[n, longest]`, and the real ones out again.
pub(super) struct Padding {
    pub keys: Tensor,
    pub queries: Tensor,
    pub back: Tensor,
}

/// The sequences that may share a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Those of one length, as they lie.
    Views,
    /// Neighbours of any length, while at most half of the places are padding.
    Padded,
}

/// A sequence and the tokens of it that ask, counted from its start, ascending.
struct Part<'a> {
    sequence: &'a Sequence,
    queries: Vec<usize>,
}

/// The device on which masks and indices are made.
#[derive(Clone, Copy)]
pub(super) struct Segmenter {
    pub dtype: Dtype,
    pub device: Device,
    pub sharing: Sharing,
}

impl Part<'_> {
    fn is_plain(&self) -> bool {
        self.sequence.ancestry == Ancestry::Causal && self.queries.len() == self.sequence.len
    }
}

impl Segmenter {
    /// CUDA shares calls, the CPU does not need to.
    pub(crate) fn new(dtype: Dtype, device: Device) -> Self {
        let sharing = if device == Device::Cpu { Sharing::Views } else { Sharing::Padded };
        Segmenter { dtype, device, sharing }
    }

    /// Segments in which every token asks.
    pub(crate) fn all(self, sequences: &[Sequence]) -> Result<Vec<Segment>> {
        self.segments(sequences.iter().map(|sequence| Part { sequence, queries: (0..sequence.len).collect() }))
    }

    /// Segments in which only `rows` of the pack ask; sorted and distinct.
    pub(crate) fn wanted(self, sequences: &[Sequence], rows: &[usize]) -> Result<Vec<Segment>> {
        let mut rest = rows;
        let parts = sequences.iter().map(|sequence| {
            let end = sequence.start + sequence.len;
            let (here, after) = rest.split_at(rest.partition_point(|&row| row < end));
            rest = after;
            Part { sequence, queries: here.iter().map(|row| row - sequence.start).collect() }
        });
        self.segments(parts)
    }

    fn segments<'a>(self, parts: impl Iterator<Item = Part<'a>>) -> Result<Vec<Segment>> {
        let mut groups: Vec<Vec<Part<'a>>> = Vec::new();
        for part in parts {
            match groups.last_mut() {
                Some(group) if self.may_join(group, &part) => group.push(part),
                _ => groups.push(vec![part]),
            }
        }
        groups.iter().map(|group| self.segment(group)).collect()
    }

    fn may_join(self, group: &[Part<'_>], part: &Part<'_>) -> bool {
        let len = |part: &Part<'_>| part.sequence.len;
        if self.sharing == Sharing::Views {
            let alike = |other: &Part<'_>| other.is_plain() && len(other) == len(part);
            return part.is_plain() && group.last().is_some_and(alike);
        }
        let longest = group.iter().map(len).max().unwrap_or(0).max(len(part));
        let real = group.iter().map(len).sum::<usize>() + len(part);
        longest * (group.len() + 1) <= 2 * real
    }

    fn segment(self, group: &[Part<'_>]) -> Result<Segment> {
        let largest = |size: fn(&Part<'_>) -> usize| group.iter().map(size).max().unwrap_or(0);
        let (keys, queries) = (largest(|part| part.sequence.len), largest(|part| part.queries.len()));
        let plain = group.iter().all(Part::is_plain);
        let even = group.iter().all(|part| part.sequence.len == keys && part.queries.len() == queries);
        let asked = queries > 0;
        Ok(Segment {
            n: group.len() as i64,
            keys: keys as i64,
            queries: queries as i64,
            key_rows: group.iter().map(|part| part.sequence.len as i64).sum(),
            query_rows: group.iter().map(|part| part.queries.len() as i64).sum(),
            padding: (asked && !even).then(|| self.padding(group, keys, queries)).transpose()?,
            mask: (asked && !plain).then(|| self.mask(group, keys, queries)).transpose()?,
        })
    }

    fn padding(self, group: &[Part<'_>], keys: usize, queries: usize) -> Result<Padding> {
        let (mut key_rows, mut query_rows, mut back) = (Vec::new(), Vec::new(), Vec::new());
        let (mut first_key, mut first_query) = (0, 0);
        for (index, part) in group.iter().enumerate() {
            let (len, asking) = (part.sequence.len, part.queries.len());
            // Padding repeats a row that exists; nothing real looks at it, nothing comes back from it.
            key_rows.extend((0..keys).map(|i| first_key + i.min(len - 1)));
            query_rows.extend((0..queries).map(|i| if i < asking { first_query + i } else { 0 }));
            back.extend((0..asking).map(|i| index * queries + i));
            first_key += len;
            first_query += asking;
        }
        let place = |rows: &[usize]| -> Result<Tensor> { Ok(Tensor::from_indices(rows)?.to_device(self.device)?) };
        Ok(Padding { keys: place(&key_rows)?, queries: place(&query_rows)?, back: place(&back)? })
    }

    /// 0 where the query may see the key, −∞ elsewhere. Padding looks at key 0: a row of −∞ alone
    /// would be NaN, and its gradient too.
    fn mask(self, group: &[Part<'_>], keys: usize, queries: usize) -> Result<Tensor> {
        let mut values = vec![f32::NEG_INFINITY; group.len() * queries * keys];
        for (part, block) in group.iter().zip(values.chunks_mut(queries * keys)) {
            let mut rows = block.chunks_mut(keys);
            for (&query, row) in part.queries.iter().zip(rows.by_ref()) {
                allow(&part.sequence.ancestry, query, row);
            }
            rows.for_each(|row| row.iter_mut().take(1).for_each(|value| *value = 0.0));
        }
        let shape = [group.len() as i64, 1, queries as i64, keys as i64];
        Ok(Tensor::from_f32(&values, &shape)?.to_dtype(self.dtype)?.to_device(self.device)?)
    }
}

/// Opens the keys that a query may see.
fn allow(ancestry: &Ancestry, query: usize, row: &mut [f32]) {
    match ancestry {
        Ancestry::Causal => row.iter_mut().take(query + 1).for_each(|value| *value = 0.0),
        Ancestry::Tree(parents) => {
            let mut token = Some(query);
            while let Some(t) = token {
                if let Some(value) = row.get_mut(t) {
                    *value = 0.0;
                }
                token = parents.get(t).copied().flatten();
            }
        }
    }
}
