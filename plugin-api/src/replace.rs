//! Layer replacers: what stands in for a layer, and which layers it stands in for.

use crate::checkpoint::Checkpoint;
use crate::error::PluginError;
use crate::host::Host;
use crate::importance_scores::ImportanceScores;
use crate::module::Substitute;
use crate::objective::Objective;
use crate::outline::LayerOutline;
use crate::plan::{LayerPlan, ReplaceRequest};

/// Offers a substitute for every layer and chooses which layers give way to theirs.
///
/// ```
/// use scaleot_plugin_api::{Checkpoint, Host, LayerOutline, LayerReplacer, Module, PluginError, Substitute};
/// use scaleot_plugin_conformance::FakeHost;
///
/// /// LayerDrop: nothing stands in.
/// struct Drop;
/// impl LayerReplacer for Drop {
///     fn substitute(&mut self, _: &LayerOutline, _: &mut Host) -> Result<Substitute, PluginError> {
///         Ok(Substitute::frozen(Module::Identity))
///     }
/// }
/// impl Checkpoint for Drop {}
/// let mut fake = FakeHost::toy(4, 8);
/// let layer = fake.outline().layers[1].clone();
/// let substitute = Drop.substitute(&layer, &mut fake.host())?;
/// assert!(matches!(substitute.module, Module::Identity));
/// # Ok::<(), PluginError>(())
/// ```
pub trait LayerReplacer: Checkpoint {
    /// The substitute that runs instead of `layer`: `[tokens, hidden] -> [tokens, hidden]`.
    ///
    /// # Errors
    /// Any [`PluginError`]; those of the host pass through with `?`.
    fn substitute(&mut self, layer: &LayerOutline, host: &mut Host) -> Result<Substitute, PluginError>;

    /// Brings the installed substitutes near their layers before importance runs, by [`Host::fit_step`] or
    /// [`Host::train_step`]. Default: nothing.
    ///
    /// # Errors
    /// Any [`PluginError`]; those of the host pass through with `?`.
    fn prepare(&mut self, _host: &mut Host) -> Result<(), PluginError> {
        Ok(())
    }

    /// The plan: the layers that are replaced. Default: the least important ones that are no adapters; ties go to the shallower layer.
    ///
    /// # Errors
    /// `Failed` when more layers are asked for than there are, or when there is not one score per layer.
    fn select(&mut self, scores: &ImportanceScores, ask: &ReplaceRequest) -> Result<LayerPlan, PluginError> {
        LayerPlan::least_important(scores, ask)
    }

    /// The objective of the owner's training: of substitutes during importance, and of the emulator after the choice, where
    /// [`select`](Self::select) has been asked first, so that it may name layers of the plan.
    /// Default: the loss of the next token, on substitutes.
    fn objective(&self) -> Option<Objective> {
        None
    }
}
