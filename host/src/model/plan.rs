//! What every layer needs to know of a batch, computed once: ids, rotary tables, who attends to whom.
//!
//! Linear maps run on all tokens at once, `[tokens, width]`. Only attention looks at sequences, in
//! *segments*: runs of neighbouring sequences of one length are a plain view `[n, len, …]` of the
//! pack, so nothing is gathered, padded or scattered. In the last layer only the wanted rows ask;
//! all keys and values remain.

use super::batch::{Ancestry, PackedBatch, Sequence};
use super::config::{ModelConfig, Positions};
use super::error::{ModelError, Result};
use super::rope::RopeTables;
use crate::tensor::{Device, Dtype, Tensor};

/// Neighbouring sequences of one length that one attention call serves.
pub(super) struct Segment {
    /// Sequences in it.
    pub n: i64,
    /// Keys of each.
    pub len: i64,
    /// Queries of each: `len`, or the wanted rows.
    pub queries: i64,
    /// `None`: causal. Else a term for the scores, `[n or 1, 1, queries, len]`.
    pub mask: Option<Tensor>,
}

/// Which rows of the last layer are wanted: sorted, distinct.
pub(super) struct Wanted {
    pub index: Tensor,
    pub rope: Option<RopeTables>,
    pub segments: Vec<Segment>,
}

/// A batch made ready for the layers.
pub(super) struct Plan {
    pub ids: Tensor,
    /// Rows of the position table, for learned positions.
    pub position_rows: Option<Tensor>,
    pub rope: Option<RopeTables>,
    pub segments: Vec<Segment>,
    /// `None`: all rows.
    pub wanted: Option<Wanted>,
}

impl Plan {
    /// `rows` are sorted and distinct.
    pub fn new(
        config: &ModelConfig,
        batch: &PackedBatch,
        rows: &[usize],
        (dtype, device): (Dtype, Device),
    ) -> Result<Plan> {
        batch.check(config.vocabulary, config.context)?;
        check_rows(rows, batch.tokens())?;
        let tokens = batch.tokens() as i64;
        let indices = |values: &[i64]| -> Result<Tensor> {
            Ok(Tensor::from_i64(values, &[values.len() as i64])?.to_device(device)?)
        };
        let (mut rope, mut position_rows) = (None, None);
        match &config.positions {
            Positions::Rope(r) => rope = Some(r.tables(&batch.positions, dtype, device)?),
            Positions::Learned { offset } => {
                let shifted: Vec<i64> = batch.positions.iter().map(|p| p + *offset as i64).collect();
                position_rows = Some(indices(&shifted)?);
            }
        }
        let place = Place { dtype, device };
        let segments = place.segments(&batch.sequences)?;
        let wanted = if rows.len() as i64 == tokens {
            None
        } else {
            let index = Tensor::from_indices(rows)?.to_device(device)?;
            let rope = rope.as_ref().map(|r| r.select(&index)).transpose()?;
            Some(Wanted { index, rope, segments: place.wanted_segments(batch, rows)? })
        };
        Ok(Plan { ids: indices(&batch.ids)?, position_rows, rope, segments, wanted })
    }
}

fn check_rows(rows: &[usize], tokens: usize) -> Result<()> {
    let wrong = |found: String, expected: String| Err(ModelError::Batch { what: "row".to_owned(), found, expected });
    match rows.last() {
        None => wrong("not given".into(), "at least one row".into()),
        Some(&last) if last >= tokens => wrong(last.to_string(), format!("from 0 to {}", tokens - 1)),
        Some(_) => Ok(()),
    }
}

#[derive(Clone, Copy)]
struct Place {
    dtype: Dtype,
    device: Device,
}

impl Place {
    fn segments(self, sequences: &[Sequence]) -> Result<Vec<Segment>> {
        let mut segments: Vec<Segment> = Vec::new();
        for sequence in sequences {
            let len = sequence.len as i64;
            let causal = sequence.ancestry == Ancestry::Causal;
            match segments.last_mut() {
                Some(last) if causal && last.mask.is_none() && last.len == len => last.n += 1,
                _ => {
                    let all: Vec<usize> = (0..sequence.len).collect();
                    let mask = (!causal).then(|| self.mask(sequence, &all)).transpose()?;
                    segments.push(Segment { n: 1, len, queries: len, mask });
                }
            }
        }
        Ok(segments)
    }

    /// One segment for each sequence, those without a wanted row included (no queries).
    fn wanted_segments(self, batch: &PackedBatch, rows: &[usize]) -> Result<Vec<Segment>> {
        let mut rest = rows;
        let mut segments = Vec::with_capacity(batch.sequences.len());
        for sequence in &batch.sequences {
            let end = sequence.start + sequence.len;
            let (here, after) = rest.split_at(rest.partition_point(|&row| row < end));
            rest = after;
            let here: Vec<usize> = here.iter().map(|row| row - sequence.start).collect();
            let whole = here.len() == sequence.len && sequence.ancestry == Ancestry::Causal;
            let needed = !whole && !here.is_empty();
            let mask = needed.then(|| self.mask(sequence, &here)).transpose()?;
            let (len, queries) = (sequence.len as i64, here.len() as i64);
            segments.push(Segment { n: 1, len, queries, mask });
        }
        Ok(segments)
    }

    /// 0 where the query may see the key, −∞ elsewhere: `[1, 1, queries, len]`.
    fn mask(self, sequence: &Sequence, queries: &[usize]) -> Result<Tensor> {
        let len = sequence.len;
        let mut values = vec![f32::NEG_INFINITY; queries.len() * len];
        for (row, &query) in values.chunks_mut(len).zip(queries) {
            match &sequence.ancestry {
                Ancestry::Causal => row.iter_mut().take(query + 1).for_each(|v| *v = 0.0),
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
        let shape = [1, 1, queries.len() as i64, len as i64];
        Ok(Tensor::from_f32(&values, &shape)?.to_dtype(self.dtype)?.to_device(self.device)?)
    }
}
