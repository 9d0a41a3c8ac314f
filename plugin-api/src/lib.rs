//! The contract between ScaleOT and its plugins, on one page.
//!
//! **Plugins decide; the host computes; artefacts are data.** A plugin implements one of four traits:
//!
//! | trait | verb | takes | gives |
//! |---|---|---|---|
//! | [`ImportanceEstimator`] | `estimate` | losses of layer mixtures | [`ImportanceScores`] |
//! | [`LayerReplacer`] | `substitute`, `prepare`, `select` | layer outlines, scores | [`Substitute`]s and a [`LayerPlan`] |
//! | [`Compressor`] | `compress` | [`LayerWeights`] by role | fewer numbers, a [`CompressionReport`] |
//! | [`Adapter`] | `attach`, `step` | layer outlines, tuning steps | an [`AdapterModule`] |
//!
//! It reaches the model through [`Host`] only: outlines, masks, losses, statistics, and algebra on opaque [`Tensor`] handles.
//! It needs no libtorch; one that wants it turns on the feature `tch` and calls `Host::to_tch` and `Host::from_tch`. [`export_plugin!`] makes the library; the crate `scaleot-plugin-conformance` tests it without a host.
//! A whole plugin is the doctest of [`export_plugin!`].
#![deny(missing_docs, clippy::missing_errors_doc, clippy::missing_panics_doc, clippy::missing_safety_doc)]

mod adapter;
mod batch_mean;
mod checkpoint;
mod coarsening;
mod compress;
mod declaration;
mod error;
pub mod export;
mod host;
mod importance;
mod importance_scores;
mod method;
mod module;
mod objective;
mod outline;
mod plan;
mod rank_cuts;
mod replace;
mod requirement;
mod schedule;
pub mod schema;
pub mod services;
mod strategy;
mod tensor;
mod version;
mod weight_form;

pub use adapter::{Adapter, AdapterModule, AdapterPart, Tuner};
pub use batch_mean::{BatchMean, BatchMeanEstimator, Measure};
pub use checkpoint::Checkpoint;
pub use coarsening::{prune_smallest, round_to_bits};
pub use compress::{CompressionReport, Compressor, LayerWeights, MatrixReport};
pub use declaration::{Declaration, Trait};
pub use error::{ErrorCode, PluginError};
pub use host::Host;
pub use importance::ImportanceEstimator;
pub use importance_scores::ImportanceScores;
pub use method::Method;
pub use module::{Activation, Module, NormKind, Substitute};
pub use objective::{Objective, ObjectiveTerm, Trains};
pub use outline::{LayerOutline, ModelOutline, WeightOutline, WeightRole};
pub use plan::{LayerMask, LayerPlan, LayerRole, ReplaceRequest, evenly_spaced};
pub use rank_cuts::Storage;
pub use replace::LayerReplacer;
pub use requirement::{Need, OptionValue, Requirement};
pub use schedule::Schedule;
pub use services::carrier::{HostServices, MAX_OUTPUTS, OpArguments, TensorOp};
pub use services::curvature::{Curvature, CurvatureRequest};
pub use services::fitting::{FitReport, FitStep, LayerMoments, MomentsRequest, TokenWeight};
pub use services::layer_statistic::LayerStatistic;
pub use services::low_rank::{RankCut, TruncatedSvd};
pub use services::report::{CurvePoint, Notice};
pub use services::similarity::{SimilarityRequest, TokenPooling};
pub use services::training::{StepReport, TrainStep};
pub use services::{check_offered, unknown_service};
pub use strategy::{
    AnyStrategy, CompressAnswer, CompressRequest, NotAStrategyName, PLUGIN_NAME_RULE, PluginRecord, SelectRequest,
    Strategy, StrategyEntry, StrategyKind, StrategyName, StrategyRecord, is_plugin_name, reply, strategy_from_json,
};
#[cfg(feature = "tch")]
pub use tch;
pub use tensor::{DlTensor, Handle, ReleaseTensor, Tensor};
pub use version::LIBTORCH_MARK;
pub use weight_form::WeightForm;
