//! The questions that a plugin may ask of the host, one declaration each: name on the wire, calls that offer it, types on both sides.
//!
//! Names are only ever added, so an older plugin runs on a newer host. Both sides travel as JSON. Tensor operations have numbers
//! instead ([`TensorOp`](crate::TensorOp)); authors use [`Host`](crate::Host), whose methods ask these questions.

pub(crate) mod carrier;
pub(crate) mod curvature;
pub(crate) mod fitting;
pub(crate) mod layer_statistic;
pub(crate) mod low_rank;
mod offered;
pub(crate) mod report;
pub(crate) mod similarity;
pub(crate) mod training;

pub use offered::{check_offered, unknown_service};

use crate::error::PluginError;
use crate::method::Method;
use crate::outline::{ModelOutline, WeightRole};
use crate::plan::LayerMask;
use crate::tensor::Handle;
use curvature::{Curvature, CurvatureRequest};
use fitting::{FitReport, FitStep, LayerMoments, MomentsRequest};
use layer_statistic::LayerStatistic;
use low_rank::{RankCut, TruncatedSvd};
use report::{CurvePoint, Notice};
use serde::Serialize;
use serde::de::DeserializeOwned;
use similarity::SimilarityRequest;
use training::{StepReport, TrainStep};

/// A question that a plugin may ask of the host.
///
/// ```
/// use scaleot_plugin_api::LayerMask;
/// use scaleot_plugin_api::services::{Losses, Service};
///
/// // A host's answer: two mixtures, two losses.
/// let question = serde_json::to_vec(&vec![LayerMask::all_original(1); 2])?;
/// let answer = Losses::answer(&question, |masks| Ok(masks.iter().map(|_| 2.5).collect()))?;
/// assert_eq!(answer, b"[2.5,2.5]");
/// # Ok::<(), scaleot_plugin_api::PluginError>(())
/// ```
pub trait Service {
    /// The name on the wire.
    const NAME: &'static str;
    /// The calls during which a host answers.
    const CALLS: &'static [Method];
    /// The type of the question.
    type Question: Serialize + DeserializeOwned;
    /// The type of the answer.
    type Answer: Serialize + DeserializeOwned;

    /// The question of a message. For hosts.
    ///
    /// # Errors
    /// `Failed` for bytes that are none.
    fn read(question: &[u8]) -> Result<Self::Question, PluginError> {
        Ok(serde_json::from_slice(question)?)
    }

    /// The message that answers a message. For hosts.
    ///
    /// # Errors
    /// Those of [`read`](Self::read) and of `reply`.
    fn answer(
        question: &[u8],
        reply: impl FnOnce(Self::Question) -> Result<Self::Answer, PluginError>,
    ) -> Result<Vec<u8>, PluginError> {
        Ok(serde_json::to_vec(&reply(Self::read(question)?)?)?)
    }
}

/// A service without its types, for lists of all of them.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ServiceRecord {
    /// The name on the wire.
    pub name: &'static str,
    /// The calls during which a host answers.
    pub calls: &'static [Method],
}

const EVERY: &[Method] = &[Method::Substitute, Method::Prepare, Method::Estimate, Method::Compress, Method::Step];
const SUBSTITUTE: &[Method] = &[Method::Substitute];
const TRAINING: &[Method] = &[Method::Prepare, Method::Estimate];
const PASSES: &[Method] = &[Method::Prepare, Method::Estimate, Method::Compress];
const WEIGHTS: &[Method] = &[Method::Substitute, Method::Prepare, Method::Estimate, Method::Compress];
const STEP: &[Method] = &[Method::Step];

macro_rules! services {
    ($($(#[$doc:meta])* $name:ident = $text:literal, during $calls:ident, $question:ty => $answer:ty $({ $($own:tt)* })?;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub enum $name {}

            impl Service for $name {
                const NAME: &'static str = $text;
                const CALLS: &'static [Method] = $calls;
                type Question = $question;
                type Answer = $answer;
                $($($own)*)?
            }
        )*

        /// Every service of this version of the contract.
        pub const ALL: &[ServiceRecord] = &[$(ServiceRecord { name: $name::NAME, calls: $name::CALLS }),*];
    };
}

services! {
    /// Widths, layers and roles of the full model: [`Host::outline`](crate::Host::outline).
    Outline = "outline", during EVERY, () => ModelOutline;
    /// The run's seed for a purpose: [`Host::seed`](crate::Host::seed).
    Seed = "seed", during EVERY, String => u64;
    /// The end of a step, or a sentence for the log: [`Host::progress`](crate::Host::progress), [`Host::log`](crate::Host::log).
    Notices = "notice", during EVERY, Notice => ();
    /// Nearest matrices of lower rank: [`Host::truncated_svds`](crate::Host::truncated_svds).
    TruncatedSvds = "truncated_svds", during EVERY, Vec<RankCut<Handle>> => Vec<TruncatedSvd<Handle>>;
    /// The address of the `at::Tensor` of a handle, alive until the handle is released: `Host::to_tch`.
    LendTensor = "lend_libtorch_tensor", during EVERY, Handle => u64;
    /// A new handle on the tensor at the address of a live `at::Tensor`: `Host::from_tch`.
    TakeTensor = "take_libtorch_tensor", during EVERY, u64 => Handle;
    /// Losses of layer mixtures on one held-out batch: [`Host::losses`](crate::Host::losses).
    Losses = "losses", during PASSES, Vec<LayerMask> => Vec<f64>;
    /// One gradient step of the substitutes: [`Host::train_step`](crate::Host::train_step).
    TrainingStep = "train_step", during TRAINING, TrainStep => StepReport;
    /// The layers whose substitute trains: [`Host::trainable_layers`](crate::Host::trainable_layers).
    TrainableLayers = "trainable_layers", during PASSES, () => Vec<bool>;
    /// Steps of every substitute towards its own layer: [`Host::fit_step`](crate::Host::fit_step).
    LocalFit = "fit_step", during TRAINING, FitStep => FitReport;
    /// One number per layer: [`Host::layer_statistics`](crate::Host::layer_statistics).
    LayerStatistics = "layer_statistics", during PASSES, LayerStatistic => Vec<f64> {
        fn read(question: &[u8]) -> Result<LayerStatistic, PluginError> {
            LayerStatistic::of_question(question)
        }
    };
    /// The likeness of layers' outputs: [`Host::output_similarity`](crate::Host::output_similarity).
    OutputSimilarity = "output_similarity", during PASSES, SimilarityRequest => Vec<Vec<f64>>;
    /// The loss around a layer's matrices: [`Host::layer_curvature`](crate::Host::layer_curvature).
    Curvatures = "layer_curvature", during PASSES, CurvatureRequest => Vec<(WeightRole, Curvature<Handle>)>;
    /// The weights of a layer that have one of these roles: [`Host::layer_weights`](crate::Host::layer_weights).
    Weights = "layer_weights", during WEIGHTS, (usize, Vec<WeightRole>) => Vec<(WeightRole, Handle)>;
    /// Moments of a layer's input and change: [`Host::layer_moments`](crate::Host::layer_moments).
    Moments = "layer_moments", during SUBSTITUTE, MomentsRequest => LayerMoments<Handle>;
    /// A point of a curve: [`Host::record`](crate::Host::record).
    CurvePoints = "record", during EVERY, CurvePoint => ();
    /// One tuning step of the adapter: [`Tuner::gradient_step`](crate::Tuner::gradient_step).
    GradientStep = "gradient_step", during STEP, () => StepReport;
}
