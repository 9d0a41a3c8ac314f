//! Removing and sharing (CRaSh, section 5): one layer of each cluster stays, and every other place runs the nearest one that does,
//! the deeper of two. Shared places cost no weights in the bundle, but as much computation as before.
//!
//! A substitute shares its own layer; the host runs the nearest one that stays. A share of an adapter layer is frozen as shipped.

use crate::clusters::centres;
use scaleot_plugin_api::{
    Checkpoint, Declaration, Host, ImportanceScores, LayerOutline, LayerPlan, LayerReplacer, Module, PluginError,
    ReplaceRequest, Strategy, Substitute, Trait,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `crash/share`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShareOptions {
    /// True where removed layers run the nearest one that stays (the paper); otherwise nothing runs (its ablation).
    pub sharing: bool,
}

impl Default for ShareOptions {
    fn default() -> Self {
        Self { sharing: true }
    }
}

/// Keeps the centres of clusters and shares them.
pub struct Share {
    options: ShareOptions,
}

impl Strategy for Share {
    type Options = ShareOptions;
    fn new(options: ShareOptions) -> Result<Self, PluginError> {
        Ok(Self { options })
    }

    fn declares() -> Vec<Declaration> {
        vec![Declaration::always(Trait::TrainsNothing)]
    }
}

impl LayerReplacer for Share {
    fn substitute(&mut self, layer: &LayerOutline, _: &mut Host) -> Result<Substitute, PluginError> {
        let shared = Module::SharedWith { layer: layer.index };
        Ok(Substitute::frozen(if self.options.sharing { shared } else { Module::Identity }))
    }

    fn select(&mut self, scores: &ImportanceScores, ask: &ReplaceRequest) -> Result<LayerPlan, PluginError> {
        let found = scores.scores.len();
        if found != ask.n_layers {
            let expected = ask.n_layers;
            return Err(PluginError::failed(format!("{found} importance scores were given for {expected} layers")));
        }
        let refused = || {
            let (asked, middle) = (ask.replace_count, ask.middle().len());
            PluginError::failed(format!("{asked} layers are to be replaced, but only {middle} are no adapters"))
        };
        let keep = ask.n_layers.checked_sub(ask.replace_count).ok_or_else(refused)?;
        let kept = centres(&scores.scores, &ask.adapter_layers, keep).ok_or_else(refused)?;
        let replaced: Vec<usize> = (0..ask.n_layers).filter(|layer| !kept.contains(layer)).collect();
        LayerPlan::from_replaced(ask, &replaced)
    }
}

impl Checkpoint for Share {}
