//! Options of `scaleot/harmonizer`; each says what the sources know of it (found in the paper or its code, inferred, or unknown).

use scaleot_plugin_api::{Activation, PluginError, TokenWeight};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The start of the first matrix; the second starts at zero, so a fresh harmonizer is the identity and still learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Initialisation {
    /// Uniform in `+- sqrt(6 / hidden)`.
    KaimingUniform,
    /// Normal with deviation `sqrt(2 / hidden)`.
    KaimingNormal,
}

/// The start of a harmonizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarmStart {
    /// The identity (the paper).
    None,
    /// Reduced-rank regression of its own layer's change on its input; not in the paper.
    Regression,
}

/// The layers that give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// The least important of all; goes with shuffled groups.
    Global,
    /// The least important of every group of neighbours in turn; goes with contiguous groups.
    PerGroup,
    /// Evenly spaced layers stay, whatever the scores say: the control.
    Even,
    /// Any layers: the other control.
    Random,
}

/// Options of `scaleot/harmonizer`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HarmonizerOptions {
    /// Width inside (r): 64 for medium models (found, second hand). Unknown for large ones; 128 from 6B on keeps the share.
    #[schemars(range(min = 1, max = 65_536))]
    pub rank: usize,
    /// The nonlinearity: ReLU (found, second hand).
    pub activation: Activation,
    /// Start of the first matrix (unknown in the paper; both zero, as in a public copy, never learns).
    pub initialisation: Initialisation,
    /// An RMS norm before the first matrix (inferred: only if training is unstable). Excludes a warm start by regression.
    pub norm: bool,
    /// Weight of `KL(full || mixture)` beside the loss of the next token (unknown in the paper; 0 = next token alone).
    #[schemars(range(min = 0.0, max = 1e6))]
    pub distillation_weight: f64,
    /// Start of harmonizers; `none` is the paper.
    pub warm_start: WarmStart,
    /// Public windows that the regression sees.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub regression_windows: u32,
    /// Added to the input's covariance, relative to the median of its diagonal.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ridge: f64,
    /// By how many standard deviations the regression opens the ReLU: more is more linear, less learns more freely.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub opening: f64,
    /// Weight of a token in regression and local fit.
    pub token_weight: TokenWeight,
    /// Passes of local fitting after the start; 0 leaves it at the start.
    #[schemars(range(max = 1_000_000))]
    pub fit_passes: u32,
    /// Public windows of one pass.
    #[schemars(range(min = 1, max = 10_000))]
    pub fit_windows: u32,
    /// Gradient steps on one pass.
    #[schemars(range(min = 1, max = 1000))]
    pub fit_steps: u32,
    /// Peak learning rate of local fitting; it falls to 0 along a cosine.
    #[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1.0))]
    pub fit_learning_rate: f64,
    /// The layers that give way.
    #[schemars(extend("x-read-by" = "select"))]
    pub selection: Selection,
    /// Neighbours in one group (N_g = 4: found, second hand), for `selection = "per_group"`.
    #[schemars(range(min = 1, max = 10_000), extend("x-read-by" = "select"))]
    pub group_size: usize,
    /// Number of the random choice, for `selection = "random"`.
    #[schemars(extend("x-read-by" = "select"))]
    pub random_choice: u64,
}

impl Default for HarmonizerOptions {
    fn default() -> Self {
        Self {
            rank: 64,
            activation: Activation::Relu,
            initialisation: Initialisation::KaimingUniform,
            norm: false,
            distillation_weight: 0.0,
            warm_start: WarmStart::None,
            regression_windows: 128,
            ridge: 1e-4,
            opening: 2.0,
            token_weight: TokenWeight::Output,
            fit_passes: 0,
            fit_windows: 4,
            fit_steps: 3,
            fit_learning_rate: 2e-3,
            selection: Selection::Global,
            group_size: 4,
            random_choice: 0,
        }
    }
}

impl HarmonizerOptions {
    /// Has the last word on what goes together.
    ///
    /// # Errors
    /// `Options`, saying what does not and what to do.
    pub fn check(&self) -> Result<(), PluginError> {
        let problem = match (self.warm_start, self.norm, self.activation) {
            (WarmStart::Regression, true, _) => "warm_start = \"regression\" works on plain inputs: set norm = false",
            (WarmStart::Regression, _, Activation::Tanh) => {
                "warm_start = \"regression\" needs an activation that is linear far out: relu, gelu or silu"
            }
            _ => return Ok(()),
        };
        Err(PluginError::options(problem))
    }
}
