//! What a plugin may ask of the host: losses of layer mixtures, training steps, statistics. Tensor algebra is in `algebra.rs`.
//!
//! [`Host`] is what authors use. [`HostServices`] carries it: the boundary in one process, the fake host in tests.
//! Structured questions travel as JSON under a name, so a later host can answer more of them without a new layout.

use crate::checkpoint::Checkpoint;
use crate::error::{ErrorCode, PluginError};
use crate::objective::Objective;
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
    /// `sum over the layer's matrices of |w dL/dw|`, `L` the mean next-token loss (LLM-Pruner's first-order term); one backward pass.
    TaylorImportance,
    /// `mean((y' - y)^2)` of the layer's output on its own input, when [`prune_smallest`](crate::prune_smallest) took this share of
    /// every matrix's weights (Edge-LLM's sensitivity).
    PrunedOutputError {
        /// Hundredths of the weights that are 0.
        percent: u8,
    },
    /// The same, when [`round_to_bits`](crate::round_to_bits) rounded every row of every matrix.
    RoundedOutputError {
        /// Bits of a weight.
        bits: u8,
    },
}

impl LayerStatistic {
    /// The statistic of a question. For hosts.
    ///
    /// # Errors
    /// `Unsupported` for one that this version of the contract does not have.
    pub fn of_question(question: &[u8]) -> Result<Self, PluginError> {
        serde_json::from_slice(question).map_err(|_| {
            let asked = String::from_utf8_lossy(question);
            PluginError::unsupported(format!("this host has no layer statistic {asked}"))
                .with_help("the plugin was built for a newer host")
        })
    }
}

/// One point of a curve that a stage keeps beside its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Which curve.
    pub curve: String,
    /// After how many steps.
    pub step: u64,
    /// The values, the same count at every step.
    pub values: Vec<f64>,
}

/// A line for the log or the progress display.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Notice {
    /// The end of a step.
    Progress {
        /// Units done.
        done: u64,
        /// Units in all.
        total: u64,
        /// The bytes from which the strategy continues.
        state: Vec<u8>,
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

    pub(crate) fn ask<Q: Serialize + ?Sized, A: DeserializeOwned>(
        &mut self,
        name: &str,
        question: &Q,
    ) -> Result<A, PluginError> {
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

    /// One gradient step on the trainable substitutes of the replaced layers, on the next training batch, towards the
    /// replacer's [`objective`](crate::LayerReplacer::objective), else the next token.
    ///
    /// # Errors
    /// `Host` when nothing trains under this mask, `Numeric` when the loss or a gradient is not finite.
    pub fn train_step(&mut self, step: &TrainStep) -> Result<StepReport, PluginError> {
        self.ask("train_step", step)
    }

    /// As [`train_step`](Self::train_step), towards an objective of the caller's instead of the replacer's.
    ///
    /// # Errors
    /// As [`train_step`](Self::train_step); `Unsupported` from a host of API 1.0.
    pub fn train_step_towards(&mut self, step: &TrainStep, objective: &Objective) -> Result<StepReport, PluginError> {
        self.ask("train_step_towards", &(step, objective))
    }

    /// Which layers have a substitute that trains, one entry per layer; none with dropped or shared layers.
    ///
    /// # Errors
    /// `Host` without public text, `Unsupported` from a host of API 1.0.
    pub fn trainable_layers(&mut self) -> Result<Vec<bool>, PluginError> {
        self.ask("trainable_layers", &())
    }

    /// One tuning step of the adapter; only inside [`crate::Adapter::step`].
    pub(crate) fn gradient_step(&mut self) -> Result<StepReport, PluginError> {
        self.ask("gradient_step", &())
    }

    /// One number per layer of the full model, from a held-out batch.
    ///
    /// # Errors
    /// `Host` when no data is at hand, `Unsupported` for a statistic that is newer than the host.
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

    /// Reports that a step is over, `done` of `total`: a point from which the work can continue. `strategy` is the caller itself;
    /// its state is kept with everything of the host's own that has changed, as often as the run's settings say.
    ///
    /// # Errors
    /// `Interrupted` when the person asked to stop (the state is safe: return it); what [`Checkpoint::save`] returned.
    pub fn progress(&mut self, done: u64, total: u64, strategy: &dyn Checkpoint) -> Result<(), PluginError> {
        let state = strategy.save()?;
        self.ask("notice", &Notice::Progress { done, total, state })
    }

    /// A sentence for the run's log.
    ///
    /// # Errors
    /// `Host` when the host cannot answer.
    pub fn log(&mut self, message: &str) -> Result<(), PluginError> {
        self.ask("notice", &Notice::Log { message: message.into() })
    }

    /// Adds a point to a curve of the stage's record, such as `train_loss` (one value) or `scores` (one per layer).
    ///
    /// # Errors
    /// `Numeric` for a value that is not finite, `Unsupported` from a host of API 1.0.
    pub fn record(&mut self, curve: &str, step: u64, values: &[f64]) -> Result<(), PluginError> {
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(PluginError::new(ErrorCode::Numeric, format!("{curve} at step {step} is {value}")));
        }
        self.ask("record", &CurvePoint { curve: curve.into(), step, values: values.to_vec() })
    }
}
