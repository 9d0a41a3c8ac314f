//! Learning-rate schedules: with `x` in `[0, 1]` how far the steps are, the factor on the peak is `1 - x`, `(1 + cos(pi x)) / 2` or `1`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The fall of the learning rate after the warm-up.
///
/// ```
/// use scaleot_plugin_api::Schedule;
/// assert_eq!([0.0, 0.5, 1.0].map(|along| Schedule::Linear.factor(along)), [1.0, 0.5, 0.0]);
/// assert_eq!([0.0, 0.5, 1.0].map(|along| Schedule::Constant.factor(along)), [1.0, 1.0, 1.0]);
/// let quarter = Schedule::Cosine.factor(0.25); // (1 + sqrt(1/2)) / 2
/// assert!((quarter - 0.853_553_390_593).abs() < 1e-9);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(description = "How the learning rate falls after the warm-up.")]
#[non_exhaustive]
pub enum Schedule {
    /// Straight to 0.
    Linear,
    /// Half a cosine to 0.
    Cosine,
    /// Not at all.
    Constant,
}

impl Schedule {
    /// The factor on the peak learning rate `along` the steps, from 0 at the peak to 1 after the last step.
    #[must_use]
    pub fn factor(self, along: f64) -> f64 {
        match self {
            Self::Linear => 1.0 - along,
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * along).cos()),
            Self::Constant => 1.0,
        }
    }
}
