//! What a weight does in its layer, whatever the family calls it.

use std::str::FromStr;

/// The part that a weight plays in a decoder layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(serde::Serialize, serde::Deserialize)]
pub enum WeightRole {
    #[serde(rename = "attention.q")]
    AttentionQ,
    #[serde(rename = "attention.k")]
    AttentionK,
    #[serde(rename = "attention.v")]
    AttentionV,
    #[serde(rename = "attention.o")]
    AttentionO,
    #[serde(rename = "mlp.up")]
    MlpUp,
    #[serde(rename = "mlp.gate")]
    MlpGate,
    #[serde(rename = "mlp.down")]
    MlpDown,
    #[serde(rename = "norm.attention")]
    NormAttention,
    #[serde(rename = "norm.mlp")]
    NormMlp,
}

impl WeightRole {
    /// Every role, in the order of the computation.
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

    /// The name in configs, plans and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            WeightRole::AttentionQ => "attention.q",
            WeightRole::AttentionK => "attention.k",
            WeightRole::AttentionV => "attention.v",
            WeightRole::AttentionO => "attention.o",
            WeightRole::MlpUp => "mlp.up",
            WeightRole::MlpGate => "mlp.gate",
            WeightRole::MlpDown => "mlp.down",
            WeightRole::NormAttention => "norm.attention",
            WeightRole::NormMlp => "norm.mlp",
        }
    }

    /// Whether the weight is a matrix; the others are norms.
    pub fn is_projection(self) -> bool {
        !matches!(self, WeightRole::NormAttention | WeightRole::NormMlp)
    }
}

impl FromStr for WeightRole {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        WeightRole::ALL
            .into_iter()
            .find(|role| role.as_str() == name)
            .ok_or_else(|| format!("no weight role `{name}`"))
    }
}
