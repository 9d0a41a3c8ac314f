//! LoRA: `W + (alpha / rank) B A` on projections, `A: [rank, cols]` random, `B: [rows, rank]` zero at the start. Dropout on the
//! delta's input (0.1 in Offsite-Tuning's runs) is not offered. Parameters: `rank (rows + cols)` a projection.

use scaleot_plugin_api::{
    Adapter, AdapterModule, AdapterPart, Checkpoint, LayerOutline, PluginError, Strategy, WeightRole,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// The projections that get a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Modules {
    /// q and v (the paper of LoRA).
    QueryValue,
    /// q, k, v and o.
    Attention,
    /// Every projection (Offsite-Tuning's runs).
    All,
}

/// Options of `peft/lora`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoraOptions {
    /// Rank of the delta (Offsite-Tuning: 4); a projection whose shorter side is less takes that.
    #[schemars(range(min = 1, max = 65_536))]
    pub rank: usize,
    /// Scale times rank (Offsite-Tuning: 32).
    #[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1e6))]
    pub alpha: f64,
    /// The projections that get a delta.
    pub modules: Modules,
}

impl Default for LoraOptions {
    fn default() -> Self {
        Self { rank: 4, alpha: 32.0, modules: Modules::All }
    }
}

/// Low-rank deltas train.
pub struct Lora {
    options: LoraOptions,
}

impl Strategy for Lora {
    type Options = LoraOptions;
    fn new(options: LoraOptions) -> Result<Self, PluginError> {
        Ok(Self { options })
    }
}

impl Adapter for Lora {
    fn attach(&mut self, layer: &LayerOutline) -> Result<AdapterModule, PluginError> {
        let LoraOptions { rank, alpha, modules } = self.options;
        let projections = layer.weights.iter().filter(|weight| weight.role.is_matrix() && modules.include(weight.role));
        let part = |weight: &scaleot_plugin_api::WeightOutline| {
            let rank = rank.min(weight.shape.iter().min().copied().unwrap_or(rank));
            AdapterPart::LowRankDelta { role: weight.role, rank, alpha: alpha * rank as f64 / self.options.rank as f64 }
        };
        Ok(AdapterModule::new(projections.map(part).collect()))
    }
}

impl Checkpoint for Lora {}

impl Modules {
    fn include(self, role: WeightRole) -> bool {
        match self {
            Self::QueryValue => matches!(role, WeightRole::AttentionQ | WeightRole::AttentionV),
            Self::Attention => WeightRole::ATTENTION.contains(&role),
            Self::All => true,
        }
    }
}
