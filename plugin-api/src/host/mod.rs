//! The host as a plugin sees it: losses of layer mixtures, training steps, statistics. Tensor algebra and the larger
//! questions have files of their own.
//!
//! [`Host`] is what authors use. [`HostServices`] carries it: the boundary in one process, the fake host in tests.
//! Structured questions travel as JSON under a name, so a later host can answer more of them without a new layout.

mod algebra;
mod curvature;
mod fitting;
mod low_rank;
mod similarity;
#[cfg(feature = "tch")]
mod torch;

use crate::checkpoint::Checkpoint;
use crate::error::{ErrorCode, PluginError};
use crate::outline::{ModelOutline, WeightRole};
use crate::plan::LayerMask;
use crate::services::carrier::HostServices;
use crate::services::layer_statistic::LayerStatistic;
use crate::services::report::{CurvePoint, Notice};
use crate::services::training::{StepReport, TrainStep};
use crate::services::{
    CurvePoints, GradientStep, LayerStatistics, Losses, Notices, Outline, Seed, Service, TrainableLayers, TrainingStep,
    Weights,
};
use crate::tensor::Tensor;
use std::rc::Rc;

/// The host, as a plugin sees it during one call.
pub struct Host<'s> {
    pub(crate) services: &'s mut dyn HostServices,
}

impl<'s> Host<'s> {
    /// A host over these services.
    pub fn new(services: &'s mut dyn HostServices) -> Self {
        Self { services }
    }

    pub(crate) fn ask<S: Service>(&mut self, question: &S::Question) -> Result<S::Answer, PluginError> {
        let answer = self.services.request(S::NAME, &serde_json::to_vec(question)?)?;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Widths, layers and roles of the full model.
    ///
    /// # Errors
    /// `Host` when no model is loaded.
    pub fn outline(&mut self) -> Result<ModelOutline, PluginError> {
        self.ask::<Outline>(&())
    }

    /// Mean next-token loss of each mixture on the same held-out batch, in nats per token; no gradients.
    /// The batch changes with every call. Candidates share the layers that they have in common from the bottom.
    ///
    /// # Errors
    /// `Host` when a mask has the wrong length, `Numeric` when a loss is not finite.
    pub fn losses(&mut self, masks: &[LayerMask]) -> Result<Vec<f64>, PluginError> {
        self.ask::<Losses>(&masks.to_vec())
    }

    /// One gradient step on the trainable substitutes of the replaced layers, on the next training batch, towards the
    /// replacer's [`objective`](crate::LayerReplacer::objective), else the next token.
    ///
    /// # Errors
    /// `Host` when nothing trains under this mask, `Numeric` when the loss or a gradient is not finite.
    pub fn train_step(&mut self, step: &TrainStep) -> Result<StepReport, PluginError> {
        self.ask::<TrainingStep>(step)
    }

    /// The layers that have a substitute which trains, one entry per layer; none with dropped or shared layers.
    ///
    /// # Errors
    /// `Host` without public text.
    pub fn trainable_layers(&mut self) -> Result<Vec<bool>, PluginError> {
        self.ask::<TrainableLayers>(&())
    }

    /// One tuning step of the adapter; only inside [`crate::Adapter::step`].
    pub(crate) fn gradient_step(&mut self) -> Result<StepReport, PluginError> {
        self.ask::<GradientStep>(&())
    }

    /// One number per layer of the full model, from a held-out batch.
    ///
    /// # Errors
    /// `Host` when no data is at hand, `Unsupported` for a statistic that is newer than the host.
    pub fn layer_statistics(&mut self, statistic: LayerStatistic) -> Result<Vec<f64>, PluginError> {
        self.ask::<LayerStatistics>(&statistic)
    }

    /// The run's seed for a purpose; different purposes give independent streams.
    ///
    /// # Errors
    /// `Host` when the host cannot answer.
    pub fn seed(&mut self, purpose: &str) -> Result<u64, PluginError> {
        self.ask::<Seed>(&purpose.to_owned())
    }

    /// Reports that a step is over, `done` of `total`: a point from which the work can continue. `strategy` is the caller itself;
    /// its state is kept with everything of the host's own that has changed, as often as the run's settings say.
    ///
    /// # Errors
    /// `Interrupted` when the person asked to stop (the state is safe: return it); what [`Checkpoint::save`] returned.
    pub fn progress(&mut self, done: u64, total: u64, strategy: &dyn Checkpoint) -> Result<(), PluginError> {
        let state = strategy.save()?;
        self.ask::<Notices>(&Notice::Progress { done, total, state })
    }

    /// A sentence for the run's log.
    ///
    /// # Errors
    /// `Host` when the host cannot answer.
    pub fn log(&mut self, message: &str) -> Result<(), PluginError> {
        self.ask::<Notices>(&Notice::Log { message: message.into() })
    }

    /// Adds a point to a curve of the stage's record, such as `train_loss` (one value) or `scores` (one per layer).
    ///
    /// # Errors
    /// `Numeric` for a value that is not finite.
    pub fn record(&mut self, curve: &str, step: u64, values: &[f64]) -> Result<(), PluginError> {
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(PluginError::new(ErrorCode::Numeric, format!("{curve} at step {step} is {value}")));
        }
        self.ask::<CurvePoints>(&CurvePoint { curve: curve.into(), step, values: values.to_vec() })
    }

    /// The weights of a layer by role, as in [`LayerWeights`](crate::LayerWeights); for compressors whose rule looks at other layers too. Roles that the
    /// layer does not have are left out.
    ///
    /// # Errors
    /// `Host` for a layer that does not exist or where no weights are at hand.
    pub fn layer_weights(
        &mut self,
        layer: usize,
        roles: &[WeightRole],
    ) -> Result<Vec<(WeightRole, Tensor)>, PluginError> {
        let found = self.ask::<Weights>(&(layer, roles.to_vec()))?;
        let owner = self.services.releaser();
        Ok(found.into_iter().map(|(role, handle)| (role, Tensor::adopt(handle, Rc::clone(&owner)))).collect())
    }
}
