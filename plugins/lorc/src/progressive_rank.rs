//! Progressive ranks (LoRC): errors of a shallow layer pass through all layers above it, so it keeps more of its rank.
//!
//! `kappa_l = prod_{j >= l} prod_{W in layer j} S_1(W) / S_R(W)`, `R` the full rank; with `t_l = (log kappa_l - min) / (max - min)`
//! over all layers of the model, layer `l` keeps `floor(R (min_rank_ratio + t_l (max_rank_ratio - min_rank_ratio)))` (section 9).
//! Logarithms are summed, so the product cannot overflow; `S_R` below `1e-6 S_1` counts as that, because rounding ends there.
//! Cost: one singular value decomposition of every layer's matrices at the first layer, then one of each kept layer's.

use scaleot_plugin_api::{
    CompressionReport, Compressor, Host, LayerWeights, PluginError, RankCut, Storage, Strategy, Tensor, WeightRole,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// The least share of the largest singular value that is told from rounding.
const SMALLEST: f64 = 1e-6;

/// The matrices that lose rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Modules {
    /// k and v: what a cache holds (the paper).
    KeyValue,
    /// q, k, v and o.
    Attention,
}

/// Options of `lorc/progressive-rank`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProgressiveRankOptions {
    /// Share of the rank that the layer of the smallest cumulative condition number keeps, the deepest one. Unknown in the
    /// sources; with the default for the largest, about 45% is kept where condition numbers are even (the paper: 40 to 45%).
    #[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1.0))]
    pub min_rank_ratio: f64,
    /// Share of the rank that the layer of the largest one keeps, the shallowest.
    #[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1.0))]
    pub max_rank_ratio: f64,
    /// The matrices that lose rank.
    pub modules: Modules,
    /// Storage of the product.
    pub storage: Storage,
}

impl Default for ProgressiveRankOptions {
    fn default() -> Self {
        Self { min_rank_ratio: 0.2, max_rank_ratio: 0.7, modules: Modules::KeyValue, storage: Storage::Smaller }
    }
}

/// Truncated SVD with a rank for every layer.
pub struct ProgressiveRank {
    options: ProgressiveRankOptions,
    /// Kept share per layer of the model, once the first layer was asked for.
    ratios: Option<Vec<f64>>,
}

impl Strategy for ProgressiveRank {
    type Options = ProgressiveRankOptions;
    fn new(options: ProgressiveRankOptions) -> Result<Self, PluginError> {
        Ok(Self { options, ratios: None })
    }
}

impl Compressor for ProgressiveRank {
    fn compress(&mut self, layer: &mut LayerWeights, host: &mut Host) -> Result<CompressionReport, PluginError> {
        let ratios = match self.ratios.take() {
            Some(ratios) => ratios,
            None => self.measure(host)?,
        };
        let ratio = ratios.get(layer.outline().index).copied().unwrap_or(self.options.max_rank_ratio);
        self.ratios = Some(ratios);
        layer.cut_rank_share(self.options.modules.roles(), ratio, self.options.storage, host)
    }
}

impl Modules {
    const fn roles(self) -> &'static [WeightRole] {
        match self {
            Self::KeyValue => &[WeightRole::AttentionK, WeightRole::AttentionV],
            Self::Attention => &WeightRole::ATTENTION,
        }
    }
}

impl ProgressiveRank {
    /// The kept share of every layer of the model.
    fn measure(&self, host: &mut Host) -> Result<Vec<f64>, PluginError> {
        let n_layers = host.outline()?.n_layers();
        let mut logarithms = Vec::with_capacity(n_layers);
        for layer in 0..n_layers {
            let weights = host.layer_weights(layer, self.options.modules.roles())?;
            let name = |role: &WeightRole| format!("{role} of layer {layer}");
            let cut = |(role, weight)| RankCut::new(name(role), weight, 1, true);
            let cuts: Vec<RankCut<&Tensor>> = weights.iter().map(|(role, weight)| cut((role, weight))).collect();
            let mut sum = 0.0;
            for svd in host.truncated_svds(&cuts)? {
                sum += host.view_f32(&svd.singular_values, log_condition)?;
            }
            logarithms.push(sum);
        }
        let (min, max) = (self.options.min_rank_ratio, self.options.max_rank_ratio);
        let ratios = ratios(&logarithms, min, max);
        host.log(&format!("lorc: kept share of the rank by layer, shallow to deep: {ratios:.3?}"))?;
        Ok(ratios)
    }
}

/// `ln (S_1 / S_R)`; 0 for a zero matrix.
fn log_condition(singular_values: &[f32]) -> f64 {
    let largest = singular_values.first().copied().map_or(0.0, f64::from);
    let smallest = singular_values.last().copied().map_or(0.0, f64::from);
    if largest > 0.0 { (largest / smallest.max(SMALLEST * largest)).ln() } else { 0.0 }
}

/// Kept shares from the logarithm of each layer's own condition number; layers that are all alike keep `max`.
#[must_use]
pub fn ratios(own: &[f64], min: f64, max: f64) -> Vec<f64> {
    let mut cumulative: Vec<f64> = own
        .iter()
        .rev()
        .scan(0.0, |sum, own| {
            *sum += own;
            Some(*sum)
        })
        .collect();
    cumulative.reverse();
    let least = cumulative.iter().copied().fold(f64::INFINITY, f64::min);
    let most = cumulative.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let place = |value: f64| if most > least { (value - least) / (most - least) } else { 1.0 };
    cumulative.into_iter().map(|value| min + place(value) * (max - min)).collect()
}
