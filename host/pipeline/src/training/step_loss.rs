//! The loss of an optimiser step, in parts.

use crate::error::StageError;
use scaleot_data::TrainingBatch;
use scaleot_tensor::Tensor;

/// The loss of a step over all its batches, handed out in parts: each a scalar to run backwards from; their sum is the loss.
pub type StepLoss<'a> = dyn Fn(&[TrainingBatch], u64, &mut EachPart<'_>) -> Result<(), StageError> + 'a;

/// Takes a part of a loss; its graph is gone afterwards.
pub type EachPart<'a> = dyn FnMut(Tensor) -> Result<(), StageError> + 'a;
