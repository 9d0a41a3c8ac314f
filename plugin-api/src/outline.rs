//! The outline of a model, all that a plugin may know of it: widths, layers and the roles of their weights; never a value.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The job that a weight does in a transformer layer; the same word in every model family.
///
/// Shapes are `[rows, cols]` = `[outputs, inputs]`; fused projections are split before a plugin sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[non_exhaustive]
pub enum WeightRole {
    /// Query projection, `[n_heads * head_dim, hidden]`.
    #[serde(rename = "attention.q")]
    AttentionQ,
    /// Key projection, `[n_kv_heads * head_dim, hidden]`.
    #[serde(rename = "attention.k")]
    AttentionK,
    /// Value projection, `[n_kv_heads * head_dim, hidden]`.
    #[serde(rename = "attention.v")]
    AttentionV,
    /// Output projection of the attention, `[hidden, n_heads * head_dim]`.
    #[serde(rename = "attention.o")]
    AttentionO,
    /// First projection of the feed-forward part, `[intermediate, hidden]`.
    #[serde(rename = "mlp.up")]
    MlpUp,
    /// Gate of a gated feed-forward part, `[intermediate, hidden]`.
    #[serde(rename = "mlp.gate")]
    MlpGate,
    /// Last projection of the feed-forward part, `[hidden, intermediate]`.
    #[serde(rename = "mlp.down")]
    MlpDown,
    /// The norm before (or after) the attention, `[hidden]`.
    #[serde(rename = "norm.attention")]
    NormAttention,
    /// The norm before (or after) the feed-forward part, `[hidden]`.
    #[serde(rename = "norm.mlp")]
    NormMlp,
}

impl WeightRole {
    /// Every role, in the order of a layer's computation.
    pub const ALL: [WeightRole; 9] = [
        WeightRole::NormAttention,
        WeightRole::AttentionQ,
        WeightRole::AttentionK,
        WeightRole::AttentionV,
        WeightRole::AttentionO,
        WeightRole::NormMlp,
        WeightRole::MlpGate,
        WeightRole::MlpUp,
        WeightRole::MlpDown,
    ];
    /// The attention matrices, which selective rank compression works on.
    pub const ATTENTION: [WeightRole; 4] =
        [WeightRole::AttentionQ, WeightRole::AttentionK, WeightRole::AttentionV, WeightRole::AttentionO];
    /// The feed-forward matrices.
    pub const MLP: [WeightRole; 3] = [WeightRole::MlpGate, WeightRole::MlpUp, WeightRole::MlpDown];

    /// The word used in configs, reports and artefacts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AttentionQ => "attention.q",
            Self::AttentionK => "attention.k",
            Self::AttentionV => "attention.v",
            Self::AttentionO => "attention.o",
            Self::MlpUp => "mlp.up",
            Self::MlpGate => "mlp.gate",
            Self::MlpDown => "mlp.down",
            Self::NormAttention => "norm.attention",
            Self::NormMlp => "norm.mlp",
        }
    }

    /// True for a matrix, which can be factorised.
    #[must_use]
    pub const fn is_matrix(self) -> bool {
        !matches!(self, Self::NormAttention | Self::NormMlp)
    }
}

impl fmt::Display for WeightRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for WeightRole {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| {
            format!("no weight has the role {text:?}; roles are {}", Self::ALL.map(Self::as_str).join(", "))
        })
    }
}

/// One weight of a layer, by role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WeightOutline {
    /// The job that it does.
    pub role: WeightRole,
    /// `[outputs, inputs]`, or `[width]` of a norm.
    pub shape: Vec<usize>,
    /// True where a bias goes with it.
    pub bias: bool,
}

impl WeightOutline {
    /// A weight of this shape. For hosts.
    #[must_use]
    pub fn new(role: WeightRole, shape: Vec<usize>, bias: bool) -> Self {
        Self { role, shape, bias }
    }
}

/// One layer of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayerOutline {
    /// Position in the full model, from 0.
    pub index: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// The weights, in the order of computation.
    pub weights: Vec<WeightOutline>,
}

impl LayerOutline {
    /// A layer of these weights. For hosts.
    #[must_use]
    pub fn new(index: usize, hidden_size: usize, weights: Vec<WeightOutline>) -> Self {
        Self { index, hidden_size, weights }
    }
}

impl LayerOutline {
    /// Values in this layer, biases included.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.weights
            .iter()
            .map(|w| w.shape.iter().product::<usize>() + if w.bias { w.shape.first().copied().unwrap_or(0) } else { 0 })
            .sum()
    }

    /// The outline of one weight, if the layer has it.
    #[must_use]
    pub fn weight(&self, role: WeightRole) -> Option<&WeightOutline> {
        self.weights.iter().find(|w| w.role == role)
    }
}

/// The whole model as a plugin may know it.
///
/// ```
/// let outline = scaleot_plugin_api::ModelOutline::toy(4, 8);
/// assert_eq!(outline.n_layers(), 4);
/// assert_eq!(outline.layers[3].parameters(), 4 * 8 * 8 + 3 * 8 * 16 + 2 * 8);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelOutline {
    /// Model family, as in `host/model/src/families`.
    pub family: String,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key-value heads.
    pub n_kv_heads: usize,
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// The layers in order of depth.
    pub layers: Vec<LayerOutline>,
}

impl ModelOutline {
    /// A model of these sizes. For hosts.
    #[must_use]
    pub fn new(
        family: impl Into<String>,
        hidden_size: usize,
        intermediate_size: usize,
        n_heads: usize,
        n_kv_heads: usize,
        vocab_size: usize,
        layers: Vec<LayerOutline>,
    ) -> Self {
        Self { family: family.into(), hidden_size, intermediate_size, n_heads, n_kv_heads, vocab_size, layers }
    }
}

impl ModelOutline {
    /// Number of layers.
    #[must_use]
    pub fn n_layers(&self) -> usize {
        self.layers.len()
    }

    /// A gated toy model without biases, for doctests and the fake host: feed-forward width is twice the hidden width.
    #[must_use]
    pub fn toy(n_layers: usize, hidden_size: usize) -> Self {
        let square = vec![hidden_size, hidden_size];
        let wide = vec![2 * hidden_size, hidden_size];
        let shape = |role| match role {
            WeightRole::NormAttention | WeightRole::NormMlp => vec![hidden_size],
            WeightRole::MlpUp | WeightRole::MlpGate => wide.clone(),
            WeightRole::MlpDown => vec![hidden_size, 2 * hidden_size],
            _ => square.clone(),
        };
        let weights: Vec<_> =
            WeightRole::ALL.into_iter().map(|role| WeightOutline { role, shape: shape(role), bias: false }).collect();
        let layers = (0..n_layers).map(|index| LayerOutline { index, hidden_size, weights: weights.clone() }).collect();
        Self {
            family: "toy".into(),
            hidden_size,
            intermediate_size: 2 * hidden_size,
            n_heads: 1,
            n_kv_heads: 1,
            vocab_size: 2 * hidden_size,
            layers,
        }
    }
}
