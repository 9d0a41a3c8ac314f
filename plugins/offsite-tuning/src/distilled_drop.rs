//! Distilled LayerDrop: layers are dropped as in `layer-drop`, then those that are left learn to stand in for all (section 4.2).
//!
//! `L = 1.0 CE + 30.0 mean(((h_T - h_S) / rms(h_T))^2)`, `rms(h_T)` over the whole batch tensor. One matching point: `h_S` is the
//! output of the last emulator layer, `h_T` that of the full middle stack, which is the state after the last layer that is no
//! adapter; with adapters at the ends both stacks get the same input. Only kept layers train, and only in the emulator.

use scaleot_plugin_api::{
    Checkpoint, Declaration, Host, ImportanceScores, LayerOutline, LayerPlan, LayerReplacer, Module, Need, Objective,
    ObjectiveTerm, PluginError, ReplaceRequest, Requirement, Strategy, Substitute, Trains, Trait,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `offsite-tuning/distilled-drop`; `train.steps` says for how long.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DistilledDropOptions {
    /// Weight of the loss of the next token (the paper: 1).
    #[schemars(range(min = 0.0, max = 1e6))]
    pub next_token_weight: f64,
    /// Weight of the distance of the hidden states (the paper: 30).
    #[schemars(range(min = 0.0, max = 1e6))]
    pub hidden_match_weight: f64,
}

impl Default for DistilledDropOptions {
    fn default() -> Self {
        Self { next_token_weight: 1.0, hidden_match_weight: 30.0 }
    }
}

/// Drops layers evenly and distils the others.
pub struct DistilledDrop {
    options: DistilledDropOptions,
    /// The last layer that is no adapter; known once a plan was asked for.
    last_of_middle: Option<usize>,
}

impl Strategy for DistilledDrop {
    type Options = DistilledDropOptions;
    fn new(options: DistilledDropOptions) -> Result<Self, PluginError> {
        Ok(Self { options, last_of_middle: None })
    }

    fn requires() -> Vec<Requirement> {
        vec![Requirement::always(Need::Training)]
    }

    fn declares() -> Vec<Declaration> {
        vec![Declaration::always(Trait::IgnoresScores)]
    }
}

impl LayerReplacer for DistilledDrop {
    fn substitute(&mut self, _: &LayerOutline, _: &mut Host) -> Result<Substitute, PluginError> {
        Ok(Substitute::frozen(Module::Identity))
    }

    fn select(&mut self, _: &ImportanceScores, ask: &ReplaceRequest) -> Result<LayerPlan, PluginError> {
        let plan = LayerPlan::evenly_spaced(ask)?;
        self.last_of_middle = ask.middle().last().copied();
        Ok(plan)
    }

    fn objective(&self) -> Option<Objective> {
        let layer = self.last_of_middle?;
        let DistilledDropOptions { next_token_weight, hidden_match_weight } = self.options;
        let matched = ObjectiveTerm::HiddenMatch { layer, normalised: true };
        let objective = Objective::new(next_token_weight, ObjectiveTerm::NextToken).plus(hidden_match_weight, matched);
        Some(objective.on(Trains::KeptLayers))
    }
}

impl Checkpoint for DistilledDrop {}
