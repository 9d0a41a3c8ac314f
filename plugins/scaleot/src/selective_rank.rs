//! Selective rank compression (ScaleOT, 3.4): `W ~ U_r diag(S_r) V_r^T` of the attention weights, feed-forward left whole.
//!
//! `r = max(1, floor(min(rows, cols) * rank_ratio))`; q, k, v and o each on their own, so a fused projection does not share its
//! rank. Biases and norms are untouched.

use scaleot_plugin_api::{
    CompressionReport, Compressor, Host, LayerWeights, PluginError, Storage, Strategy, WeightRole,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// The matrices that lose rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Modules {
    /// q, k, v and o (the paper).
    Attention,
    /// up, gate and down.
    Mlp,
    /// Both.
    Both,
}

/// Options of `scaleot/selective-rank`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SelectiveRankOptions {
    /// Share of the rank that is KEPT (beta); sources disagree on beta's direction, so the word says it.
    #[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1.0))]
    pub rank_ratio: f64,
    /// The matrices that lose rank.
    pub modules: Modules,
    /// Storage of the product.
    pub storage: Storage,
}

impl Default for SelectiveRankOptions {
    fn default() -> Self {
        Self { rank_ratio: 0.8, modules: Modules::Attention, storage: Storage::Smaller }
    }
}

/// Truncated SVD by role.
pub struct SelectiveRank {
    options: SelectiveRankOptions,
}

impl Strategy for SelectiveRank {
    type Options = SelectiveRankOptions;
    fn new(options: SelectiveRankOptions) -> Result<Self, PluginError> {
        Ok(Self { options })
    }
}

impl Compressor for SelectiveRank {
    fn compress(&mut self, layer: &mut LayerWeights, host: &mut Host) -> Result<CompressionReport, PluginError> {
        let SelectiveRankOptions { rank_ratio, modules, storage } = self.options;
        let roles: Vec<WeightRole> = layer.roles().into_iter().filter(|role| modules.include(*role)).collect();
        layer.cut_rank_share(&roles, rank_ratio, storage, host)
    }
}

impl Modules {
    fn include(self, role: WeightRole) -> bool {
        let (attention, mlp) = (WeightRole::ATTENTION.contains(&role), WeightRole::MLP.contains(&role));
        match self {
            Self::Attention => attention,
            Self::Mlp => mlp,
            Self::Both => attention || mlp,
        }
    }
}
