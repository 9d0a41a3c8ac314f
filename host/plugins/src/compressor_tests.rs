//! A compressor that halves `q` and reports what it is told to: only the truth passes.

use super::{CompressorHandle, hidden_energy};
use crate::strategy::StrategyUse;
use crate::{NoQuestions, PluginFault, PluginSource, RegisteredPlugin};
use scaleot_plugin_api::{
    CompressionReport, Compressor, Host, LayerOutline, LayerWeights, MatrixReport, PluginError, Strategy, StrategyKind,
    WeightForm, WeightOutline, WeightRole,
};
use scaleot_tensor::Tensor;

/// Options of the test's compressor.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Reported {
    rank: usize,
    full_rank: usize,
    residual_energy: f64,
    reports: usize,
}

struct Halve(Reported);

impl Strategy for Halve {
    type Options = Reported;
    fn new(options: Reported) -> Result<Self, PluginError> {
        Ok(Self(options))
    }
}

impl Compressor for Halve {
    fn compress(&mut self, layer: &mut LayerWeights, host: &mut Host) -> Result<CompressionReport, PluginError> {
        let role = WeightRole::AttentionQ;
        let weight = host.scale(layer.get(role).unwrap(), 0.5)?;
        layer.set(role, WeightForm::Dense { weight })?;
        let Reported { rank, full_rank, residual_energy, reports } = self.0;
        Ok(CompressionReport::new(vec![MatrixReport::new(role, rank, full_rank, residual_energy); reports]))
    }
}

scaleot_plugin_api::export_plugin!(@entries "halve": compress Halve, "Halves q.");
scaleot_plugin_api::export_plugin!(@module "teller", "Reports what it is told to.");

fn compress(reported: serde_json::Value) -> Result<CompressionReport, PluginFault> {
    let module = scaleot_root_module();
    let record = serde_json::from_str((module.describe())().as_str()).unwrap();
    let plugin = RegisteredPlugin { record, source: PluginSource::BuiltIn, module };
    let used =
        StrategyUse::create(&plugin, &"teller/halve".parse().unwrap(), StrategyKind::Compress, &reported).unwrap();
    let role = WeightRole::AttentionQ;
    let weights = vec![WeightOutline::new(role, vec![2, 3], false)];
    let weight = Tensor::from_f32(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]).unwrap();
    let outline = LayerOutline::new(7, 3, weights);
    let compressed = CompressorHandle::try_from(used)?.compress(&outline, &[(role, weight)], &mut NoQuestions)?;
    Ok(compressed.report)
}

#[test]
fn only_a_true_report_passes() {
    let told = |rank: usize, full_rank: usize, residual_energy: f64, reports: usize| {
        let options = serde_json::json!({
            "rank": rank, "full_rank": full_rank, "residual_energy": residual_energy, "reports": reports,
        });
        compress(options).map(|report| report.matrices.len()).map_err(|fault| match fault {
            PluginFault::BadValue { found, expected, .. } => format!("found {found}, expected {expected}"),
            other => other.to_string(),
        })
    };
    // Half of a matrix leaves a quarter of its energy.
    assert_eq!(told(2, 2, 0.25, 1), Ok(1));
    assert_eq!(told(2, 2, 0.25005, 1), Ok(1));
    let refused = |told: Result<usize, String>, text: &str| assert_eq!(told, Err(text.to_owned()));
    let energy = "found residual_energy = 0.300000 for attention.q of layer 7, expected 0.250000, as recomputed";
    refused(told(2, 2, 0.3, 1), energy);
    refused(told(2, 3, 0.25, 1), "found full_rank = 3 for attention.q of layer 7, expected 2, its shorter side");
    refused(told(0, 2, 0.25, 1), "found rank = 0 for attention.q of layer 7, expected 1 to 2");
    let count = "reports on attention.q of layer 7, expected one report on every changed matrix";
    refused(told(2, 2, 0.25, 0), &format!("found 0 {count}"));
    refused(told(2, 2, 0.25, 2), &format!("found 2 {count}"));
}

#[test]
fn hidden_energy_is_a_share_of_the_original() {
    let tensor = |values: &[f32]| Tensor::from_f32(values, &[2, 2]).unwrap();
    let column = |values: &[f32], shape: &[i64]| Tensor::from_f32(values, shape).unwrap();
    let weight = tensor(&[3.0, 0.0, 0.0, 2.0]);
    let dense = WeightForm::Dense { weight: tensor(&[3.0, 0.0, 0.0, 0.0]) };
    let factored = WeightForm::Factored { left: column(&[3.0, 0.0], &[2, 1]), right: column(&[1.0, 0.0], &[1, 2]) };
    for form in [dense, factored] {
        assert!((hidden_energy(&weight, Some(&form)).unwrap() - 4.0 / 13.0).abs() < 1e-9);
        assert_eq!(hidden_energy(&tensor(&[0.0; 4]), Some(&form)).unwrap(), 0.0);
    }
    assert_eq!(hidden_energy(&weight, None).unwrap(), 0.0);
}
