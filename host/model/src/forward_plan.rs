//! The plan of a forward pass, computed once for all layers of a batch: ids, rotary tables, attention segments.
//!
//! Linear maps run on all tokens at once, `[tokens, width]`; only attention looks at sequences, in
//! segments. In the last layer only the wanted rows ask; all keys and values remain.

use super::config::{ModelConfig, Positions};
use super::error::{ModelError, Result};
use super::rope::RopeTables;
use super::segments::{Segment, Segmenter};
use scaleot_data::PackedBatch;
use scaleot_tensor::Tensor;

/// The wanted rows of the last layer: sorted, distinct.
pub(super) struct Wanted {
    pub index: Tensor,
    pub rope: Option<RopeTables>,
    pub segments: Vec<Segment>,
}

/// A batch made ready for the layers.
pub(super) struct ForwardPlan {
    pub ids: Tensor,
    /// Rows of the position table, for learned positions.
    pub position_rows: Option<Tensor>,
    pub rope: Option<RopeTables>,
    pub segments: Vec<Segment>,
    /// `None`: all rows.
    pub wanted: Option<Wanted>,
}

impl ForwardPlan {
    /// `rows` are sorted and distinct.
    pub(crate) fn new(
        config: &ModelConfig,
        batch: &PackedBatch,
        rows: &[usize],
        segmenter: Segmenter,
    ) -> Result<ForwardPlan> {
        let Segmenter { dtype, device, .. } = segmenter;
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
        let segments = segmenter.all(&batch.sequences)?;
        let wanted = if rows.len() as i64 == tokens {
            None
        } else {
            let index = Tensor::from_indices(rows)?.to_device(device)?;
            let rope = rope.as_ref().map(|r| r.select(&index)).transpose()?;
            Some(Wanted { index, rope, segments: segmenter.wanted(&batch.sequences, rows)? })
        };
        Ok(ForwardPlan { ids: indices(&batch.ids)?, position_rows, rope, segments, wanted })
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
