//! All four kinds in one type; the option `fault` says what is wrong, `at` in which call.

use crate::faults::commit;
use scaleot_plugin_api::{
    Adapter, AdapterModule, AdapterPart, Checkpoint, CompressionReport, Compressor, Declaration, Host,
    ImportanceEstimator, ImportanceScores, LayerOutline, LayerPlan, LayerReplacer, LayerRole, LayerWeights,
    MatrixReport, Module, Objective, ObjectiveTerm, PluginError, ReplaceRequest, StepReport, Strategy, Substitute,
    Tensor, Trait, Tuner, WeightForm, WeightRole,
};

/// The fault, and the call that it is in.
#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    fault: String,
    /// `create`, `drop`, or the name of a call; empty is the kind's main call.
    at: String,
}

pub struct Misbehaving(Options);

impl Misbehaving {
    /// Commits the fault if this call is the place for it; else it is a fault of the answer, for the call to commit.
    fn at(&self, call: &str, is_main: bool) -> Result<&str, PluginError> {
        if self.0.at == call || (self.0.at.is_empty() && is_main) {
            commit(&self.0.fault)?;
            return Ok(&self.0.fault);
        }
        Ok("")
    }
}

impl Strategy for Misbehaving {
    type Options = Options;
    fn new(options: Options) -> Result<Self, PluginError> {
        let strategy = Self(options);
        strategy.at("create", false)?;
        Ok(strategy)
    }

    /// One type for all kinds: the one is so of the estimator, the other of the replacer.
    fn declares() -> Vec<Declaration> {
        [Trait::EqualScores, Trait::IgnoresScores].map(Declaration::always).to_vec()
    }
}

impl Drop for Misbehaving {
    fn drop(&mut self) {
        let _ = self.at("drop", false);
    }
}

impl ImportanceEstimator for Misbehaving {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        let mut scores = vec![1.0; host.outline()?.n_layers()];
        // A tensor of its own, so that every end of the call has something to release.
        let _own = host.zeros(&[2, 3])?;
        match self.at("estimate", true)? {
            "nan" => scores[1] = f32::NAN,
            "too-few" => drop(scores.pop()),
            "too-many" => scores.push(1.0),
            "curve" => host.record("nonsense", 1, &[f64::INFINITY])?,
            _ => {}
        }
        Ok(ImportanceScores::new(scores))
    }
}

impl Checkpoint for Misbehaving {}

impl LayerReplacer for Misbehaving {
    fn substitute(&mut self, layer: &LayerOutline, host: &mut Host) -> Result<Substitute, PluginError> {
        let width = layer.hidden_size;
        let linear = |weight| Substitute::frozen(Module::Linear { weight, bias: None });
        Ok(match self.at("substitute", true)? {
            "nan" => linear(host.from_f32(&vec![f32::NAN; width * width], &[width, width])?),
            "wide" => linear(host.zeros(&[width + 1, width])?),
            "vector" => linear(host.zeros(&[width])?),
            "shares-nothing" => Substitute::frozen(Module::SharedWith { layer: 99 }),
            "unknown-handle" => linear(Tensor::adopt(987_654, std::rc::Rc::new(Nobody))),
            _ => Substitute::frozen(Module::Identity),
        })
    }

    fn prepare(&mut self, _: &mut Host) -> Result<(), PluginError> {
        self.at("prepare", false).map(drop)
    }

    fn select(&mut self, _: &ImportanceScores, ask: &ReplaceRequest) -> Result<LayerPlan, PluginError> {
        let mut plan = LayerPlan::evenly_spaced(ask)?;
        match self.at("select", false)? {
            "short" => drop(plan.layers.pop()),
            "all" => plan
                .layers
                .iter_mut()
                .filter(|role| **role == LayerRole::Keep)
                .for_each(|role| *role = LayerRole::Replace),
            "adapter" => plan.layers[0] = LayerRole::Replace,
            _ => {}
        }
        Ok(plan)
    }

    fn objective(&self) -> Option<Objective> {
        match self.at("objective", false) {
            Ok("nan") => Some(Objective::new(f64::NAN, ObjectiveTerm::NextToken)),
            _ => None,
        }
    }
}

/// Owns nothing.
struct Nobody;
impl scaleot_plugin_api::ReleaseTensor for Nobody {
    fn release(&self, _: scaleot_plugin_api::Handle) {}
}

impl Compressor for Misbehaving {
    fn compress(&mut self, layer: &mut LayerWeights, host: &mut Host) -> Result<CompressionReport, PluginError> {
        let role = WeightRole::AttentionQ;
        let shape = layer.get(role).map(|weight| host.shape(weight)).transpose()?.unwrap_or_default();
        let (rows, cols) = (shape.first().copied().unwrap_or(1), shape.get(1).copied().unwrap_or(1));
        let full_rank = rows.min(cols);
        let mut report = MatrixReport::new(role, 1, full_rank, 1.0);
        let form = match self.at("compress", true)? {
            "wrong-product" => factors(host, (rows, 1), (1, cols + 1))?,
            "no-inner" => factors(host, (rows, 1), (2, cols))?,
            "nan" => WeightForm::Dense { weight: host.from_f32(&vec![f32::NAN; rows * cols], &shape)? },
            "wrong-shape" => WeightForm::Dense { weight: host.zeros(&[rows + 1, cols])? },
            "rank-0" => {
                report.rank = 0;
                WeightForm::Dense { weight: host.zeros(&[rows, cols])? }
            }
            "rank-above" => {
                report.rank = full_rank + 1;
                WeightForm::Dense { weight: host.zeros(&[rows, cols])? }
            }
            "energy" => {
                report.residual_energy = 0.25;
                WeightForm::Dense { weight: host.zeros(&[rows, cols])? }
            }
            "unreported" => {
                layer.set(role, WeightForm::Dense { weight: host.zeros(&[rows, cols])? })?;
                return Ok(CompressionReport::default());
            }
            _ => return Ok(CompressionReport::default()),
        };
        layer.set(role, form)?;
        Ok(CompressionReport::new(vec![report]))
    }
}

fn factors(host: &mut Host, left: (usize, usize), right: (usize, usize)) -> Result<WeightForm, PluginError> {
    Ok(WeightForm::Factored { left: host.zeros(&[left.0, left.1])?, right: host.zeros(&[right.0, right.1])? })
}

impl Adapter for Misbehaving {
    fn attach(&mut self, _: &LayerOutline) -> Result<AdapterModule, PluginError> {
        let role = WeightRole::AttentionQ;
        let parts = match self.at("attach", false)? {
            "empty" => Vec::new(),
            "rank-0" => vec![AdapterPart::LowRankDelta { role, rank: 0, alpha: 1.0 }],
            "no-matrix" => vec![AdapterPart::LowRankDelta { role: WeightRole::NormMlp, rank: 1, alpha: 1.0 }],
            "alpha" => vec![AdapterPart::LowRankDelta { role, rank: 1, alpha: f64::NAN }],
            _ => vec![AdapterPart::WholeLayer],
        };
        Ok(AdapterModule::new(parts))
    }

    fn step(&mut self, tuner: &mut Tuner) -> Result<StepReport, PluginError> {
        match self.at("step", true)? {
            "nan" => Ok(StepReport::new(f64::NAN)),
            _ => tuner.gradient_step(),
        }
    }
}
