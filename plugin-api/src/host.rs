//! What a plugin may ask of the host: losses of layer mixtures, training steps, statistics. Tensor algebra is in `algebra.rs`.
//!
//! [`Host`] is what authors use. [`HostServices`] carries it: the boundary in one process, the fake host in tests.
//! Structured questions travel as JSON under a name, so a later host can answer more of them without a new layout.

use crate::error::PluginError;
use crate::outline::ModelOutline;
use crate::plan::LayerMask;
use crate::services::HostServices;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How one training or tuning step went.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Mean loss of the step's batch before the update, in nats per token.
    pub loss: f64,
}

/// One training step of the substitutes, by the owner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainStep {
    /// Replaced layers run, and train, their substitutes. The backbone is frozen; gradients flow through it.
    pub mask: LayerMask,
    /// AdamW's learning rate in this step.
    pub learning_rate: f64,
}

/// What is measured per layer by [`Host::layer_statistics`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerStatistic {
    /// `mean over tokens of cos(input, output)` of the layer, in `[-1, 1]` (ShortGPT's block influence is 1 minus this).
    InputOutputCosine,
    /// `mean over tokens of ||output - input||^2 / ||output||^2`.
    RelativeChange,
}

/// A line for the log or the progress display.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Notice {
    /// So far, of how much.
    Progress {
        /// Units done.
        done: u64,
        /// Units in all.
        total: u64,
    },
    /// A sentence for the log.
    Log {
        /// The sentence; the host escapes and shortens it.
        message: String,
    },
}

/// The host, as a plugin sees it during one call.
pub struct Host<'s> {
    pub(crate) services: &'s mut dyn HostServices,
}

impl<'s> Host<'s> {
    /// A host over these services.
    pub fn new(services: &'s mut dyn HostServices) -> Self {
        Self { services }
    }

    fn ask<Q: Serialize + ?Sized, A: DeserializeOwned>(&mut self, name: &str, question: &Q) -> Result<A, PluginError> {
        let answer = self.services.request(name, &serde_json::to_vec(question)?)?;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Widths, layers and roles of the full model.
    ///
    /// # Errors
    /// `Host` when no model is loaded.
    pub fn outline(&mut self) -> Result<ModelOutline, PluginError> {
        self.ask("outline", &())
    }

    /// Mean next-token loss of each mixture on the same held-out batch, in nats per token; no gradients.
    /// The batch changes with every call. Candidates share the layers that they have in common from the bottom.
    ///
    /// # Errors
    /// `Host` when a mask has the wrong length, `Numeric` when a loss is not finite.
    pub fn losses(&mut self, masks: &[LayerMask]) -> Result<Vec<f64>, PluginError> {
        self.ask("losses", masks)
    }

    /// One gradient step on the trainable substitutes of the replaced layers, on the next training batch.
    ///
    /// # Errors
    /// `Host` when nothing trains under this mask, `Numeric` when the loss or a gradient is not finite.
    pub fn train_step(&mut self, step: &TrainStep) -> Result<StepReport, PluginError> {
        self.ask("train_step", step)
    }

    /// One tuning step of the adapter; only inside [`crate::Adapter::step`].
    pub(crate) fn gradient_step(&mut self) -> Result<StepReport, PluginError> {
        self.ask("gradient_step", &())
    }

    /// One number per layer of the full model, from a held-out batch.
    ///
    /// # Errors
    /// `Host` when no data is at hand.
    pub fn layer_statistics(&mut self, statistic: LayerStatistic) -> Result<Vec<f64>, PluginError> {
        self.ask("layer_statistics", &statistic)
    }

    /// The run's seed for a purpose; different purposes give independent streams.
    ///
    /// # Errors
    /// `Host` when the host cannot answer.
    pub fn seed(&mut self, purpose: &str) -> Result<u64, PluginError> {
        self.ask("seed", purpose)
    }

    /// Tells how far the work is.
    ///
    /// # Errors
    /// `Interrupted` when the person asked to stop: return it.
    pub fn progress(&mut self, done: u64, total: u64) -> Result<(), PluginError> {
        self.ask("notice", &Notice::Progress { done, total })
    }

    /// A sentence for the run's log.
    ///
    /// # Errors
    /// `Host` when the host cannot answer.
    pub fn log(&mut self, message: &str) -> Result<(), PluginError> {
        self.ask("notice", &Notice::Log { message: message.into() })
    }
}
