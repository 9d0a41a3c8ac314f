//! Importance estimators: which layers the model can spare.

use crate::checkpoint::Checkpoint;
use crate::error::PluginError;
use crate::host::Host;
use serde::{Deserialize, Serialize};

/// One finite number per layer of the full model; larger means keep. Only the order matters to a replacer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImportanceScores {
    /// Entry `i` is layer `i`.
    pub scores: Vec<f32>,
}

impl ImportanceScores {
    /// One score per layer.
    #[must_use]
    pub fn new(scores: Vec<f32>) -> Self {
        Self { scores }
    }
}

impl ImportanceScores {
    /// Layer indices from least to most important; equal scores keep the order of depth.
    #[must_use]
    pub fn ascending(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.scores.len()).collect();
        let score = |index: &usize| self.scores.get(*index).copied().unwrap_or(f32::NAN);
        order.sort_by(|a, b| score(a).total_cmp(&score(b)));
        order
    }

    /// True where every layer has the same score, so that there is nothing to sort by.
    #[must_use]
    pub fn are_equal(&self) -> bool {
        self.scores.windows(2).all(|pair| pair.first() == pair.last())
    }
}

/// Ranks the layers that a model can spare.
///
/// Substitutes are installed before importance runs, so an estimator sees masks and losses only
/// ([`Host::losses`], [`Host::train_step`]) and works with any replacer.
///
/// ```
/// use scaleot_plugin_api::{Checkpoint, Host, ImportanceEstimator, ImportanceScores, LayerMask, PluginError};
/// use scaleot_plugin_conformance::FakeHost;
///
/// /// Loss increase when one layer alone is replaced.
/// struct LeaveOneOut;
/// impl ImportanceEstimator for LeaveOneOut {
///     fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
///         let n = host.outline()?.n_layers();
///         let masks: Vec<_> = (0..n).map(|i| LayerMask::all_original(n).with_replaced(&[i])).collect();
///         Ok(ImportanceScores { scores: host.losses(&masks)?.into_iter().map(|loss| loss as f32).collect() })
///     }
/// }
/// impl Checkpoint for LeaveOneOut {}
/// let mut fake = FakeHost::toy(4, 8);
/// let scores = LeaveOneOut.estimate(&mut fake.host())?;
/// assert_eq!(scores.scores.len(), 4);
/// # Ok::<(), PluginError>(())
/// ```
pub trait ImportanceEstimator: Checkpoint {
    /// One finite score per layer of `host.outline()`, larger = keep.
    ///
    /// # Errors
    /// Any [`PluginError`]; those of the host pass through with `?`.
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError>;
}
