//! Importance estimators: which layers the model can spare.

use crate::checkpoint::Checkpoint;
use crate::error::PluginError;
use crate::host::Host;
use crate::importance_scores::ImportanceScores;

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
///         Ok(ImportanceScores::new(host.losses(&masks)?.into_iter().map(|loss| loss as f32).collect()))
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
