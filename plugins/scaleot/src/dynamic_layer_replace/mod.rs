//! Dynamic LayerReplace (ScaleOT, section 3.2): learns which layers matter while their substitutes train.
//!
//! Each step draws a mixture and takes a gradient step on its substitutes, then draws `candidates` mixtures, judges them on one
//! held-out batch without gradient, and moves each layer's score by what the mixtures that kept it earned. A score is the `s_i` of
//! the formulas, 0 at the start; `sigmoid(s_i)` has the same order. Where nothing trains, only scores move.

mod options;
mod policy;
mod reward;
mod state;

pub use options::DynamicLayerReplaceOptions;
pub use policy::Grouping;
pub use reward::Reward;

use policy::{Policy, draws_of};
use rand_chacha::rand_core::RngCore;
use reward::ScoreUpdate;
use scaleot_plugin_api::{
    Checkpoint, Declaration, Host, ImportanceEstimator, ImportanceScores, LayerMask, Need, PluginError, Requirement,
    Strategy, TrainStep, Trait,
};
use state::State;

/// Importance by reinforcement in random layer mixtures.
pub struct DynamicLayerReplace {
    options: DynamicLayerReplaceOptions,
    state: Option<State>,
}

impl Strategy for DynamicLayerReplace {
    type Options = DynamicLayerReplaceOptions;
    fn new(options: DynamicLayerReplaceOptions) -> Result<Self, PluginError> {
        if options.group_size == 1 {
            return Err(PluginError::options("group_size is 1, expected at least 2, or 0 for one group of all layers"));
        }
        Ok(Self { options, state: None })
    }

    fn requires() -> Vec<Requirement> {
        vec![Requirement::always(Need::PublicText)]
    }

    fn declares() -> Vec<Declaration> {
        vec![Declaration::always(Trait::TrainsSubstitutes)]
    }
}

impl ImportanceEstimator for DynamicLayerReplace {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        let n_layers = host.outline()?.n_layers();
        let seed = host.seed("dynamic layer replace")?;
        let trainable = host.trainable_layers()?;
        if !trainable.contains(&true) {
            host.log("no substitute trains: dynamic-layer-replace learns scores only")?;
        }
        let mut state = self.state.clone().unwrap_or_else(|| State::start(seed, n_layers));
        state.belongs_to(seed, n_layers)?;
        self.state = Some(state.clone());
        let total = u64::from(self.options.steps);
        while state.step < total {
            // A step that fails half-way leaves no trace in what is kept.
            Stepper::new(&self.options, &trainable).step(&mut state, host)?;
            self.state = Some(state.clone());
            host.progress(state.step, total, self)?;
        }
        Ok(ImportanceScores::new(state.scores.iter().map(|&score| score as f32).collect()))
    }
}

impl Checkpoint for DynamicLayerReplace {
    fn save(&self) -> Result<Vec<u8>, PluginError> {
        self.state.as_ref().map_or_else(|| Ok(Vec::new()), State::to_bytes)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), PluginError> {
        self.state = if state.is_empty() { None } else { Some(State::from_bytes(state)?) };
        Ok(())
    }
}

/// Everything that stays the same from step to step.
struct Stepper<'a> {
    options: &'a DynamicLayerReplaceOptions,
    policy: Policy,
    update: ScoreUpdate,
    trainable: &'a [bool],
}

impl<'a> Stepper<'a> {
    fn new(options: &'a DynamicLayerReplaceOptions, trainable: &'a [bool]) -> Self {
        Self {
            options,
            policy: Policy { grouping: options.grouping, group_size: options.group_size as usize },
            update: ScoreUpdate { rate: options.score_rate, limit: options.score_limit },
            trainable,
        }
    }

    /// One gradient step, then, when it is due, one reinforcement step. The order of draws is part of the state's format.
    fn step(&self, state: &mut State, host: &mut Host) -> Result<(), PluginError> {
        let mut draws = draws_of(state.seed, state.step);
        let mask = self.policy.mask(&state.scores, &mut draws);
        let learning_rate = self.options.learning_rate_at(state.step);
        state.step += 1;
        if learning_rate > 0.0 && self.trains(&mask) {
            let report = host.train_step(&TrainStep::new(mask, learning_rate))?;
            host.record("train_loss", state.step, &[report.loss])?;
        }
        if state.step.is_multiple_of(u64::from(self.options.reinforce_every)) {
            self.reinforce(state, &mut draws, host)?;
        }
        Ok(())
    }

    fn reinforce(&self, state: &mut State, draws: &mut impl RngCore, host: &mut Host) -> Result<(), PluginError> {
        let candidates = 0..self.options.candidates;
        let masks: Vec<LayerMask> = candidates.map(|_| self.policy.mask(&state.scores, draws)).collect();
        let losses = host.losses(&masks)?;
        if losses.len() != masks.len() {
            return Err(PluginError::host(format!("found {} losses for {} mixtures", losses.len(), masks.len())));
        }
        self.update.apply(&mut state.scores, &masks, &self.options.reward.of(&losses));
        host.record("held_out_loss", state.step, &[losses.iter().sum::<f64>() / losses.len() as f64])?;
        host.record("scores", state.step, &state.scores)
    }

    /// True where a replaced layer has a substitute that trains.
    fn trains(&self, mask: &LayerMask) -> bool {
        mask.original.iter().zip(self.trainable).any(|(&original, &trainable)| trainable && !original)
    }
}
