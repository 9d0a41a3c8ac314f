//! Harmonizers (ScaleOT, 3.3): `h(x) = x + W_up relu(W_down x + b_down) + b_up`, `W_down [r, d]`, `W_up [d, r]`.
//!
//! One beside every layer, trained by the owner, frozen at the data owner; `2 d r + d + r` parameters. It starts as the identity
//! (the paper's description) or, as a warm start of this project's, from the reduced-rank regression of its own layer.

mod options;
mod regression;
mod selection;

pub use options::{HarmonizerOptions, Initialisation, Selection, WarmStart};
pub use regression::{ReducedRank, TwoLayers};

use scaleot_plugin_api::{
    Checkpoint, Declaration, FitStep, Host, ImportanceScores, LayerOutline, LayerPlan, LayerReplacer, Module,
    MomentsRequest, Need, NormKind, Objective, ObjectiveTerm, PluginError, ReplaceRequest, Requirement, Schedule,
    Strategy, Substitute, Trait,
};
use serde::{Deserialize, Serialize};

/// Harmonizers in place of unimportant layers.
pub struct Harmonizer {
    options: HarmonizerOptions,
    fitted: Fitted,
}

/// The progress of local fitting.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fitted {
    passes: u32,
}

impl Strategy for Harmonizer {
    type Options = HarmonizerOptions;
    fn new(options: HarmonizerOptions) -> Result<Self, PluginError> {
        options.check()?;
        Ok(Self { options, fitted: Fitted::default() })
    }

    fn requires() -> Vec<Requirement> {
        let unless = |option: &str, is: serde_json::Value| Requirement::unless(Need::PublicText, option, is);
        vec![unless("warm_start", "none".into()), unless("fit_passes", 0.into())]
    }

    fn declares() -> Vec<Declaration> {
        ["even", "random"].map(|rule| Declaration::if_option(Trait::IgnoresScores, "selection", rule)).to_vec()
    }
}

impl LayerReplacer for Harmonizer {
    fn substitute(&mut self, layer: &LayerOutline, host: &mut Host) -> Result<Substitute, PluginError> {
        let parts = match self.options.warm_start {
            WarmStart::None => self.identity(layer, host)?,
            WarmStart::Regression => {
                let (windows, weight) = (self.options.regression_windows, self.options.token_weight);
                let moments = host.layer_moments(&MomentsRequest::new(layer.index, windows, weight))?;
                let map = ReducedRank::of(&moments, self.options.rank, self.options.ridge, host)?;
                map.through_relu(&moments, self.options.opening, host)?.widened(self.options.rank, host)?
            }
        };
        Ok(Substitute::trainable(self.module(parts, layer.hidden_size, host)?))
    }

    fn prepare(&mut self, host: &mut Host) -> Result<(), PluginError> {
        let passes = self.options.fit_passes;
        while self.fitted.passes < passes {
            let along = f64::from(self.fitted.passes) / f64::from(passes);
            let step = FitStep::new(
                self.options.fit_learning_rate * Schedule::Cosine.factor(along),
                self.options.fit_steps,
                self.options.fit_windows,
                self.options.token_weight,
            );
            let report = host.fit_step(&step)?;
            self.fitted.passes += 1;
            host.record("residuals", u64::from(self.fitted.passes), &report.residuals)?;
            host.progress(self.fitted.passes.into(), passes.into(), self)?;
        }
        Ok(())
    }

    fn select(&mut self, scores: &ImportanceScores, ask: &ReplaceRequest) -> Result<LayerPlan, PluginError> {
        match self.options.selection {
            Selection::Global => LayerPlan::least_important(scores, ask),
            Selection::Even => LayerPlan::evenly_spaced(ask),
            Selection::Random => selection::random(ask, self.options.random_choice),
            Selection::PerGroup => selection::per_group(scores, ask, self.options.group_size),
        }
    }

    fn objective(&self) -> Option<Objective> {
        let weight = self.options.distillation_weight;
        let distilled = ObjectiveTerm::LogitKl { temperature: 1.0 };
        (weight > 0.0).then(|| Objective::new(1.0, ObjectiveTerm::NextToken).plus(weight, distilled))
    }
}

impl Checkpoint for Harmonizer {
    fn save(&self) -> Result<Vec<u8>, PluginError> {
        Ok(serde_json::to_vec(&self.fitted)?)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), PluginError> {
        self.fitted = serde_json::from_slice(state)?;
        Ok(())
    }
}

impl Harmonizer {
    /// `W_up = 0` and no biases: the identity, with a gradient on `W_up` at once and on `W_down` after one step.
    fn identity(&self, layer: &LayerOutline, host: &mut Host) -> Result<TwoLayers, PluginError> {
        let (rank, width) = (self.options.rank, layer.hidden_size);
        let seed = host.seed(&format!("harmonizer {}", layer.index))?;
        let inputs = width as f64;
        let down = match self.options.initialisation {
            Initialisation::KaimingUniform => host.random_uniform(&[rank, width], (6.0 / inputs).sqrt(), seed)?,
            Initialisation::KaimingNormal => host.random_normal(&[rank, width], (2.0 / inputs).sqrt(), seed)?,
        };
        Ok(TwoLayers {
            down,
            down_bias: host.zeros(&[rank])?,
            up: host.zeros(&[width, rank])?,
            up_bias: host.zeros(&[width])?,
        })
    }

    fn module(&self, parts: TwoLayers, width: usize, host: &mut Host) -> Result<Module, PluginError> {
        let TwoLayers { down, down_bias, up, up_bias } = parts;
        let mut modules = Vec::with_capacity(4);
        if self.options.norm {
            let weight = host.from_f32(&vec![1.0; width], &[width])?;
            modules.push(Module::Norm { function: NormKind::Rms, weight, bias: None, epsilon: 1e-6 });
        }
        modules.push(Module::Linear { weight: down, bias: Some(down_bias) });
        modules.push(Module::Activation { function: self.options.activation });
        modules.push(Module::Linear { weight: up, bias: Some(up_bias) });
        Ok(Module::Residual { module: Box::new(Module::Sequential { modules }) })
    }
}
