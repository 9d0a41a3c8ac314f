//! Training objectives as data: a weighted sum of known terms, in nats per token unless said.
//!
//! Offsite-Tuning's distillation is `1.0 NextToken + 30.0 HiddenMatch{last emulator layer, normalised}` (section 4.2);
//! FedBiOT's alignment adds `LogitKl`; LLEOT's elevation is `LossMargin`.

use serde::{Deserialize, Serialize};

/// One term of an [`Objective`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ObjectiveTerm {
    /// Mean cross-entropy of the next token.
    NextToken,
    /// Mean squared difference of the hidden states after a layer, full model against mixture.
    HiddenMatch {
        /// After which layer of the full model.
        layer: usize,
        /// True where differences are divided by the root mean square of the full model's states.
        normalised: bool,
    },
    /// `KL(full || mixture)` of the next-token distributions, at a temperature.
    LogitKl {
        /// Divides the logits of both.
        temperature: f64,
    },
    /// `(loss_mixture - loss_full - margin)^2`: keeps the emulator a fixed distance worse.
    LossMargin {
        /// In nats per token.
        margin: f64,
    },
}

/// The weights that the owner's training changes after the choice. During importance only substitutes train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trains {
    /// Those of the trainable substitutes.
    #[default]
    Substitutes,
    /// Those of the kept layers (the distillation of Offsite-Tuning).
    KeptLayers,
    /// Those of the substitutes and of the kept layers.
    Both,
}

/// A weighted sum of terms.
///
/// ```
/// use scaleot_plugin_api::{Objective, ObjectiveTerm};
/// let distillation = Objective::new(1.0, ObjectiveTerm::NextToken)
///     .plus(30.0, ObjectiveTerm::HiddenMatch { layer: 21, normalised: true });
/// assert_eq!(distillation.terms.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Objective {
    /// `(weight, term)` pairs.
    pub terms: Vec<(f64, ObjectiveTerm)>,
    /// The weights that change.
    #[serde(default)]
    pub trains: Trains,
}

impl Objective {
    /// A single term.
    #[must_use]
    pub fn new(weight: f64, term: ObjectiveTerm) -> Self {
        Self { terms: vec![(weight, term)], trains: Trains::default() }
    }

    /// The sum of these terms, each with its weight.
    #[must_use]
    pub fn sum(terms: Vec<(f64, ObjectiveTerm)>) -> Self {
        Self { terms, trains: Trains::default() }
    }

    /// One term more.
    #[must_use]
    pub fn plus(mut self, weight: f64, term: ObjectiveTerm) -> Self {
        self.terms.push((weight, term));
        self
    }

    /// The same terms, on other weights.
    #[must_use]
    pub fn on(mut self, trains: Trains) -> Self {
        self.trains = trains;
        self
    }
}
