//! my-plugin: the data owner trains a low-rank delta on some projections, `W + (alpha / rank) B A` (LoRA, arXiv 2106.09685).

use scaleot_plugin_api::{
    Adapter, AdapterModule, AdapterPart, Checkpoint, LayerOutline, PluginError, Strategy,
    WeightRole, export_plugin,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `my-plugin/low-rank-delta`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeltaOptions {
    /// Rank of the delta; at most the projection's own.
    #[schemars(range(min = 1, max = 65536))]
    pub rank: u32,
    /// Scale of the delta, times the rank.
    #[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1e6))]
    pub alpha: f64,
}

impl Default for DeltaOptions {
    fn default() -> Self {
        Self {
            rank: 4,
            alpha: 8.0,
        }
    }
}

/// Deltas on the query and value projections.
pub struct Delta {
    options: DeltaOptions,
}

impl Strategy for Delta {
    type Options = DeltaOptions;
    fn new(options: DeltaOptions) -> Result<Self, PluginError> {
        Ok(Self { options })
    }
}

impl Adapter for Delta {
    /// The parts that train in an adapter layer; the host makes the tensors and takes the steps.
    fn attach(&mut self, layer: &LayerOutline) -> Result<AdapterModule, PluginError> {
        let roles = [WeightRole::AttentionQ, WeightRole::AttentionV];
        let weights = roles.into_iter().filter_map(|role| layer.weight(role));
        let parts: Vec<AdapterPart> = weights
            .map(|weight| AdapterPart::LowRankDelta {
                role: weight.role,
                rank: weight
                    .shape
                    .iter()
                    .copied()
                    .fold(self.options.rank as usize, usize::min),
                alpha: self.options.alpha,
            })
            .collect();
        if parts.is_empty() {
            return Err(PluginError::unsupported(format!(
                "layer {} has no query and no value",
                layer.index
            )));
        }
        Ok(AdapterModule::new(parts))
    }
}

impl Checkpoint for Delta {}

export_plugin! {
    name: "my-plugin",
    about: "Low-rank deltas as the adapter.",
    strategies: {
        "low-rank-delta": adapter Delta, "A delta of low rank on the query and value projections.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scaleot_plugin_api::ModelOutline;

    #[test]
    fn query_and_value_get_a_delta() {
        let mut delta = Delta::new(DeltaOptions::default()).expect("the defaults are good");
        let module = delta
            .attach(&ModelOutline::toy(3, 8).layers[0])
            .expect("a layer with attention");
        let part = |role| AdapterPart::LowRankDelta {
            role,
            rank: 4,
            alpha: 8.0,
        };
        assert_eq!(
            module.parts,
            [part(WeightRole::AttentionQ), part(WeightRole::AttentionV)]
        );
    }
}
