//! A plugin for tests: harmonizers that begin as the identity, any objective that an option names, and strategies that do not
//! declare what is so of them.
//!
//! `x + up relu(down x)`, `down` uniform, `up` zero, as in section 3.3 of ScaleOT; the shallowest layers give way.

use scaleot_plugin_api::{
    Checkpoint, Declaration, Host, ImportanceEstimator, ImportanceScores, LayerOutline, LayerPlan, LayerReplacer,
    Module, Objective, ObjectiveTerm, PluginError, ReplaceRequest, Strategy, Substitute, Trains, Trait,
};

/// Width and objective.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Options {
    /// Of the harmonizer; 0 puts nothing in a layer's place.
    #[schemars(range(max = 64))]
    rank: usize,
    /// Weight of the next token's loss.
    next_token: f64,
    /// Weight of the match after a layer.
    hidden_match: Option<f64>,
    /// After which layer.
    layer: usize,
    /// Weight of the divergence of next-token distributions.
    logit_kl: Option<f64>,
    /// Margin of a loss of weight 1.
    loss_margin: Option<f64>,
    /// The layers whose weights change.
    trains: Trains,
}

impl Default for Options {
    fn default() -> Self {
        let (hidden_match, logit_kl, loss_margin) = (None, None, None);
        Self { rank: 8, next_token: 1.0, hidden_match, layer: 5, logit_kl, loss_margin, trains: Trains::default() }
    }
}

struct Harmonizers(Options);

impl Strategy for Harmonizers {
    type Options = Options;
    fn new(options: Options) -> Result<Self, PluginError> {
        Ok(Self(options))
    }

    fn declares() -> Vec<Declaration> {
        vec![Declaration::always(Trait::IgnoresScores)]
    }
}

impl LayerReplacer for Harmonizers {
    fn substitute(&mut self, layer: &LayerOutline, host: &mut Host) -> Result<Substitute, PluginError> {
        let (rank, width) = (self.0.rank, layer.hidden_size);
        if rank == 0 {
            return Ok(Substitute::frozen(Module::Identity));
        }
        let seed = host.seed(&format!("harmonizer {}", layer.index))?;
        let down = host.random_uniform(&[rank, width], 1.0 / (width as f64).sqrt(), seed)?;
        let (down_bias, up, up_bias) = (host.zeros(&[rank])?, host.zeros(&[width, rank])?, host.zeros(&[width])?);
        Ok(Substitute::trainable(Module::harmonizer(down, down_bias, up, up_bias)))
    }

    fn select(&mut self, _: &ImportanceScores, ask: &ReplaceRequest) -> Result<LayerPlan, PluginError> {
        LayerPlan::least_important(&ImportanceScores::new(vec![0.0; ask.n_layers]), ask)
    }

    fn objective(&self) -> Option<Objective> {
        let Options { next_token, hidden_match, layer, logit_kl, loss_margin, trains, .. } = self.0;
        let matched = ObjectiveTerm::HiddenMatch { layer, normalised: true };
        let divergence = ObjectiveTerm::LogitKl { temperature: 1.0 };
        let margin = loss_margin.map(|margin| (1.0, ObjectiveTerm::LossMargin { margin }));
        let more = [hidden_match.map(|weight| (weight, matched)), logit_kl.map(|weight| (weight, divergence)), margin];
        let objective = Objective::new(next_token, ObjectiveTerm::NextToken).on(trains);
        Some(more.into_iter().flatten().fold(objective, |sum, (weight, term)| sum.plus(weight, term)))
    }
}

impl Checkpoint for Harmonizers {}

#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct NoOptions {}

/// All layers alike, which it does not declare.
struct Silent;

impl Strategy for Silent {
    type Options = NoOptions;
    fn new(_: NoOptions) -> Result<Self, PluginError> {
        Ok(Self)
    }
}

impl ImportanceEstimator for Silent {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        Ok(ImportanceScores::new(vec![0.0; host.outline()?.n_layers()]))
    }
}

impl Checkpoint for Silent {}

/// Drops the shallowest layers whatever their scores, which it does not declare.
struct SilentRule;

impl Strategy for SilentRule {
    type Options = NoOptions;
    fn new(_: NoOptions) -> Result<Self, PluginError> {
        Ok(Self)
    }
}

impl LayerReplacer for SilentRule {
    fn substitute(&mut self, _: &LayerOutline, _: &mut Host) -> Result<Substitute, PluginError> {
        Ok(Substitute::frozen(Module::Identity))
    }

    fn select(&mut self, _: &ImportanceScores, ask: &ReplaceRequest) -> Result<LayerPlan, PluginError> {
        LayerPlan::least_important(&ImportanceScores::new(vec![0.0; ask.n_layers]), ask)
    }
}

impl Checkpoint for SilentRule {}

scaleot_plugin_api::export_plugin! {
    name: "test-objectives",
    about: "For the tests of ScaleOT: harmonizers, every objective, and strategies that declare nothing.",
    strategies: {
        "harmonizers": replace Harmonizers, "Small networks that begin as the identity.";
        "silent": importance Silent, "All layers alike, undeclared.";
        "silent-rule": replace SilentRule, "A rule of its own, undeclared.";
    }
}
