//! Layer-wise compression after Edge-LLM's LUC: layers that suffer little are pruned more and get fewer bits. Not LUC as
//! published, which prunes with SparseGPT (its weights are updated) and gives all but four layers 8 bits.
//!
//! With the sensitivities scaled to `z_l` in `[0, 1]` over all `L` layers of the model: `share_l = (1 - z_l) / sum_j (1 - z_j) rho L`,
//! held within `[0, 0.95]` (the published code lets it leave that range). Bits: `b_l = round(b + spread (z_l - mean z))` with the
//! sensitivity to rounding, a linear reading of the paper's "same idea" (its code names the narrower layers by hand).
//! Pruning comes first, and what is 0 stays 0 when rows are rounded. Needs public text.

use crate::sensitivity::{to_pruning, to_rounding};
use scaleot_plugin_api::{
    CompressionReport, Compressor, Host, LayerWeights, Need, PluginError, Requirement, Strategy, prune_smallest,
    round_to_bits,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// The most that is pruned of any layer.
const MOST: f64 = 0.95;

/// Options of `edge-llm/layer-wise`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LayerWiseOptions {
    /// Mean share of the weights that is pruned, over all layers (rho; the paper: 0.5). 0 prunes nothing.
    #[schemars(range(min = 0.0, max = 0.95))]
    pub prune_ratio: f64,
    /// Mean bits of a weight, over all layers (the published scripts: 8, and 4 for four layers). 0 rounds nothing.
    #[schemars(range(max = 16))]
    pub bits: u32,
    /// Bits between the least and the most sensitive layer (unknown in the paper).
    #[schemars(range(min = 0.0, max = 16.0))]
    pub bit_spread: f64,
    /// Rounds over the trials, each on held-out batches of its own (the paper: 10 samples).
    #[schemars(range(min = 1, max = 100_000))]
    pub batches: u32,
}

impl Default for LayerWiseOptions {
    fn default() -> Self {
        Self { prune_ratio: 0.5, bits: 4, bit_spread: 2.0, batches: 10 }
    }
}

/// The treatment of each layer of the model.
struct Policy {
    shares: Vec<f64>,
    bits: Vec<u32>,
}

/// Pruning and rounding by sensitivity.
pub struct LayerWise {
    options: LayerWiseOptions,
    /// Known once the first layer was asked for.
    policy: Option<Policy>,
}

impl Strategy for LayerWise {
    type Options = LayerWiseOptions;
    fn new(options: LayerWiseOptions) -> Result<Self, PluginError> {
        if options.bits == 1 {
            return Err(PluginError::options("bits is 1, expected 0 or 2 to 16"));
        }
        Ok(Self { options, policy: None })
    }

    fn requires() -> Vec<Requirement> {
        vec![Requirement::always(Need::PublicText)]
    }
}

impl Compressor for LayerWise {
    fn compress(&mut self, layer: &mut LayerWeights, host: &mut Host) -> Result<CompressionReport, PluginError> {
        let policy = match self.policy.take() {
            Some(policy) => policy,
            None => self.measure(host)?,
        };
        let index = layer.outline().index;
        let share = policy.shares.get(index).copied().unwrap_or(0.0);
        let bits = policy.bits.get(index).copied().unwrap_or(0);
        self.policy = Some(policy);
        let coarsen = |values: &mut [f32], row: usize| {
            prune_smallest(values, share);
            if bits > 0 {
                round_to_bits(values, row, bits);
            }
        };
        let roles = layer.roles().into_iter().filter(|role| role.is_matrix());
        let matrices = roles.map(|role| layer.change_values(role, host, coarsen));
        Ok(CompressionReport::new(matrices.collect::<Result<_, _>>()?))
    }
}

impl LayerWise {
    fn measure(&self, host: &mut Host) -> Result<Policy, PluginError> {
        let LayerWiseOptions { prune_ratio, bits, bit_spread, batches } = self.options;
        let n_layers = host.outline()?.n_layers();
        let mut shares = vec![0.0; n_layers];
        if prune_ratio > 0.0 {
            shares = shares_per_layer(&mean(batches, host, to_pruning)?, prune_ratio);
        }
        let mut widths = vec![0; n_layers];
        if bits > 0 {
            widths = bits_per_layer(&mean(batches, host, to_rounding)?, bits, bit_spread);
        }
        host.log(&format!("edge-llm: pruned share {shares:.3?} and bits {widths:?} by layer"))?;
        Ok(Policy { shares, bits: widths })
    }
}

/// The mean of a sensitivity; compression keeps no checkpoints, so nothing is marked.
fn mean(
    batches: u32,
    host: &mut Host,
    measure: fn(&mut Host) -> Result<Vec<f64>, PluginError>,
) -> Result<Vec<f64>, PluginError> {
    let mut sums = Vec::new();
    for _ in 0..batches {
        let numbers = measure(host)?;
        sums.resize(numbers.len(), 0.0);
        sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number / f64::from(batches));
    }
    Ok(sums)
}

/// `(s - min) / (max - min)`; 0 where all are alike.
fn scaled(sensitivities: &[f64]) -> Vec<f64> {
    let least = sensitivities.iter().copied().fold(f64::INFINITY, f64::min);
    let most = sensitivities.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    sensitivities.iter().map(|s| if most > least { (s - least) / (most - least) } else { 0.0 }).collect()
}

/// The share of each layer's weights that is pruned.
#[must_use]
pub fn shares_per_layer(sensitivities: &[f64], prune_ratio: f64) -> Vec<f64> {
    let robust: Vec<f64> = scaled(sensitivities).iter().map(|z| 1.0 - z).collect();
    let total: f64 = robust.iter().sum();
    let budget = prune_ratio * robust.len() as f64;
    robust.iter().map(|robust| (robust / total * budget).clamp(0.0, MOST)).collect()
}

/// The bits of each layer's weights, 2 to 16.
#[must_use]
pub fn bits_per_layer(sensitivities: &[f64], bits: u32, bit_spread: f64) -> Vec<u32> {
    let scaled = scaled(sensitivities);
    let mean = scaled.iter().sum::<f64>() / scaled.len().max(1) as f64;
    let width = |z: &f64| (f64::from(bits) + bit_spread * (z - mean)).round_ties_even().clamp(2.0, 16.0);
    scaled.iter().map(|z| width(z) as u32).collect()
}
