//! Adapters: what the data owner trains in an adapter layer, and how a step is taken.

use crate::checkpoint::Checkpoint;
use crate::error::PluginError;
use crate::host::Host;
use crate::module::Activation;
use crate::outline::{LayerOutline, WeightRole};
use crate::services::training::StepReport;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One trainable part of an adapter layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum AdapterPart {
    /// Every weight of the layer (Offsite-Tuning's own).
    WholeLayer,
    /// `W + (alpha / rank) B A` on one projection, `A: [rank, cols]`, `B: [rows, rank]` and zero at the start (LoRA).
    LowRankDelta {
        /// The projection.
        role: WeightRole,
        /// Rank of the delta.
        rank: usize,
        /// Scale times rank.
        alpha: f64,
    },
    /// `x + up act(down x)` on the output of one projection, `down: [size, rows]`, `up` zero at the start.
    Bottleneck {
        /// After which projection.
        role: WeightRole,
        /// Width inside.
        size: usize,
        /// Between down and up.
        activation: Activation,
    },
    /// The layer's existing biases (BitFit).
    BiasOnly,
    /// Trained positions that every query of the layer's attention sees beside its own context (LLaMA-Adapter, arXiv 2303.16199):
    /// `attended + gate softmax(q (P W_k)ᵀ / √d) (P W_v)`, `P: [length, hidden]` random, `gate: [1]` zero at the start.
    SoftPrompt {
        /// Positions.
        length: usize,
    },
}

impl AdapterPart {
    /// The largest rank, width or length of a part. Beyond it no layer has a use for the part, and memory for it may not be there.
    pub const LARGEST_SIZE: usize = 65_536;

    /// True where a layer can have this part: its projections are there, its size is in `1..=LARGEST_SIZE`, its scale is finite.
    ///
    /// ```
    /// use scaleot_plugin_api::{AdapterPart, ModelOutline};
    ///
    /// let layer = &ModelOutline::toy(4, 8).layers[0];
    /// assert!(AdapterPart::SoftPrompt { length: 10 }.fits(layer));
    /// assert!(!AdapterPart::SoftPrompt { length: 0 }.fits(layer));
    /// ```
    #[must_use]
    pub fn fits(&self, layer: &LayerOutline) -> bool {
        let projection = |role: &WeightRole| role.is_matrix() && layer.weight(*role).is_some();
        let size = |size: &usize| (1..=Self::LARGEST_SIZE).contains(size);
        match self {
            Self::WholeLayer => true,
            Self::LowRankDelta { role, rank, alpha } => projection(role) && size(rank) && alpha.is_finite(),
            Self::Bottleneck { role, size: width, .. } => projection(role) && size(width),
            Self::BiasOnly => layer.weights.iter().any(|weight| weight.bias),
            Self::SoftPrompt { length } => {
                size(length) && [WeightRole::AttentionK, WeightRole::AttentionV].iter().all(projection)
            }
        }
    }
}

/// The part in the words of a message.
///
/// ```
/// use scaleot_plugin_api::{AdapterPart, WeightRole};
///
/// let part = AdapterPart::LowRankDelta { role: WeightRole::AttentionQ, rank: 4, alpha: 32.0 };
/// assert_eq!(part.to_string(), "a low-rank delta of rank 4 and alpha 32 on attention.q");
/// assert_eq!(AdapterPart::WholeLayer.to_string(), "the whole layer");
/// ```
impl fmt::Display for AdapterPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WholeLayer => f.write_str("the whole layer"),
            Self::LowRankDelta { role, rank, alpha } => {
                write!(f, "a low-rank delta of rank {rank} and alpha {alpha} on {role}")
            }
            Self::Bottleneck { role, size, .. } => write!(f, "a bottleneck of width {size} after {role}"),
            Self::BiasOnly => f.write_str("the biases"),
            Self::SoftPrompt { length } => write!(f, "a soft prompt of length {length}"),
        }
    }
}

/// The parts that train in one adapter layer. The host makes the tensors, seeds them, and runs them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AdapterModule {
    /// All of these together.
    pub parts: Vec<AdapterPart>,
}

impl AdapterModule {
    /// These parts together.
    #[must_use]
    pub fn new(parts: Vec<AdapterPart>) -> Self {
        Self { parts }
    }
}

/// The means of a strategy during one tuning step.
pub struct Tuner<'h, 's> {
    host: &'h mut Host<'s>,
}

impl<'h, 's> Tuner<'h, 's> {
    /// The tuner of the step that the host is in.
    #[must_use]
    pub fn new(host: &'h mut Host<'s>) -> Self {
        Self { host }
    }

    /// Forward, backward and optimiser step on the next batch: mean loss on answer tokens, in nats.
    ///
    /// # Errors
    /// `Numeric` when the loss or gradient is not finite (nothing is changed then), `Host` outside a tuning step.
    pub fn gradient_step(&mut self) -> Result<StepReport, PluginError> {
        self.host.gradient_step()
    }

    /// The host, for its other services.
    pub fn host(&mut self) -> &mut Host<'s> {
        self.host
    }
}

/// Decides what trains in an adapter layer, and may take the steps itself.
///
/// ```
/// use scaleot_plugin_api::{Checkpoint, Adapter, AdapterModule, AdapterPart, LayerOutline, ModelOutline, PluginError};
///
/// struct WholeLayers;
/// impl Adapter for WholeLayers {
///     fn attach(&mut self, _: &LayerOutline) -> Result<AdapterModule, PluginError> {
///         Ok(AdapterModule::new(vec![AdapterPart::WholeLayer]))
///     }
/// }
/// impl Checkpoint for WholeLayers {}
/// let outline = ModelOutline::toy(4, 8);
/// assert_eq!(WholeLayers.attach(&outline.layers[0])?.parts, [AdapterPart::WholeLayer]);
/// # Ok::<(), PluginError>(())
/// ```
pub trait Adapter: Checkpoint {
    /// The parts that train in this adapter layer.
    ///
    /// # Errors
    /// `Unsupported` when the layer lacks what the adapter needs.
    fn attach(&mut self, layer: &LayerOutline) -> Result<AdapterModule, PluginError>;

    /// One tuning step. Default: one gradient step.
    ///
    /// # Errors
    /// Any [`PluginError`]; those of the host pass through with `?`.
    fn step(&mut self, tuner: &mut Tuner) -> Result<StepReport, PluginError> {
        tuner.gradient_step()
    }
}
