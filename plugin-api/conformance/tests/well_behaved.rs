//! Strategies of all four kinds that keep every promise: with state, with tensors between calls, with what a model lacks.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used)]

use scaleot_plugin_api::{
    Adapter, AdapterModule, AdapterPart, Checkpoint, Host, ImportanceEstimator, ImportanceScores, LayerMask,
    LayerOutline, LayerReplacer, Module, Objective, ObjectiveTerm, PluginError, StepReport, Strategy, Substitute,
    Tensor, TrainStep, Tuner, WeightRole, export_plugin,
};
use scaleot_plugin_conformance::{Conformance, FakeHost};

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct PatientOptions {
    /// Rounds of training and probing.
    #[schemars(range(min = 1))]
    rounds: usize,
}

impl Default for PatientOptions {
    fn default() -> Self {
        Self { rounds: 1_000_000_000 }
    }
}

/// Trains all substitutes, probes each layer alone, and averages; goes on where it was stopped.
struct Patient {
    rounds: usize,
    sums: Vec<f32>,
    done: usize,
}

impl Strategy for Patient {
    type Options = PatientOptions;
    fn new(options: PatientOptions) -> Result<Self, PluginError> {
        Ok(Self { rounds: options.rounds, sums: Vec::new(), done: 0 })
    }
}

impl ImportanceEstimator for Patient {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        let n = host.outline()?.n_layers();
        let full = LayerMask::all_original(n);
        let each: Vec<_> = (0..n).map(|i| full.clone().with_replaced(&[i])).collect();
        self.sums.resize(n, 0.0);
        while self.done < self.rounds {
            host.train_step(&TrainStep::new(LayerMask::new(vec![false; n]), 1e-3))?;
            let losses = host.losses(&each)?;
            self.sums.iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss as f32);
            self.done += 1;
            host.progress(self.done as u64, self.rounds as u64, self)?;
        }
        Ok(ImportanceScores::new(self.sums.iter().map(|sum| sum / self.done as f32).collect()))
    }
}

impl Checkpoint for Patient {
    fn save(&self) -> Result<Vec<u8>, PluginError> {
        Ok(serde_json::to_vec(&(self.done, &self.sums))?)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), PluginError> {
        (self.done, self.sums) = serde_json::from_slice(state)?;
        Ok(())
    }
}

#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct NoOptions {}

/// A harmonizer; keeps one tensor from call to call.
struct Harmonizer {
    zeros: Option<Tensor>,
}

impl Strategy for Harmonizer {
    type Options = NoOptions;
    fn new(_: NoOptions) -> Result<Self, PluginError> {
        Ok(Self { zeros: None })
    }
}

impl LayerReplacer for Harmonizer {
    fn substitute(&mut self, layer: &LayerOutline, host: &mut Host) -> Result<Substitute, PluginError> {
        let (d, r) = (layer.hidden_size, 2);
        let seed = host.seed(&format!("harmonizer {}", layer.index))?;
        let down = host.random_uniform(&[r, d], 0.5, seed)?;
        let (down_bias, up_bias) = (host.zeros(&[r])?, host.zeros(&[d])?);
        let up = host.zeros(&[d, r])?;
        self.zeros = Some(host.zeros(&[1])?);
        Ok(Substitute::trainable(Module::harmonizer(down, down_bias, up, up_bias)))
    }

    fn objective(&self) -> Option<Objective> {
        Some(Objective::new(1.0, ObjectiveTerm::NextToken).plus(0.5, ObjectiveTerm::LogitKl { temperature: 2.0 }))
    }
}

impl Checkpoint for Harmonizer {}

/// LoRA on the gate where there is one.
struct GateLora;

impl Strategy for GateLora {
    type Options = NoOptions;
    fn new(_: NoOptions) -> Result<Self, PluginError> {
        Ok(Self)
    }
}

impl Adapter for GateLora {
    fn attach(&mut self, layer: &LayerOutline) -> Result<AdapterModule, PluginError> {
        let role = WeightRole::MlpGate;
        if layer.weight(role).is_none() {
            return Err(PluginError::unsupported(format!("layer {} has no {role}", layer.index)));
        }
        Ok(AdapterModule::new(vec![AdapterPart::LowRankDelta { role, rank: 2, alpha: 4.0 }]))
    }

    fn step(&mut self, tuner: &mut Tuner) -> Result<StepReport, PluginError> {
        tuner.host().log("two at once")?;
        tuner.gradient_step()?;
        tuner.gradient_step()
    }
}

impl Checkpoint for GateLora {}

export_plugin! {
    name: "well-behaved",
    about: "Keeps every promise.",
    built_in,
    strategies: {
        "patient": importance Patient, "Trains and probes, round after round.";
        "harmonizer": replace Harmonizer, "A light network in the place of a layer.";
        "gate-lora": adapter GateLora, "Low-rank deltas on gates.";
    }
}

#[test]
fn conforms() {
    let small = serde_json::json!({ "rounds": 3 });
    Conformance::of(scaleot_root_module()).with_options("patient", small).assert();
}

#[test]
fn every_check_is_in_the_verdicts() {
    let small = serde_json::json!({ "rounds": 1 });
    let verdicts = Conformance::of(scaleot_root_module()).with_options("patient", small).verdicts();
    assert!(verdicts.iter().all(|verdict| verdict.broken.is_none()));
    assert!(verdicts.iter().any(|verdict| verdict.to_string() == "well-behaved/patient: stops when asked to: kept"));
    assert_eq!(verdicts.len(), 7 + 3 * (6 + 5) + 4 + 7 + 3, "the plugin's own, those of all kinds, those of a kind");
}

#[test]
fn an_estimator_goes_on_where_it_was_stopped() {
    let run = |stop: Option<usize>| {
        let mut host = FakeHost::toy(5, 8);
        let mut estimator = Patient::new(PatientOptions { rounds: 4 }).unwrap();
        if let Some(stop) = stop {
            host.stop_after(stop);
            estimator.estimate(&mut host.host()).unwrap_err();
            host.stop_after(usize::MAX);
            let state = estimator.save().unwrap();
            estimator = Patient::new(PatientOptions { rounds: 4 }).unwrap();
            estimator.restore(&state).unwrap();
        }
        estimator.estimate(&mut host.host()).unwrap()
    };
    assert_eq!(run(None), run(Some(1)));
}

#[test]
fn an_estimator_finds_the_costly_layers() {
    let mut host = FakeHost::toy(6, 8).with_layer_costs(&[0.6, 0.1, 0.5, 0.2, 0.4, 0.3]);
    let scores = Patient::new(PatientOptions { rounds: 5 }).unwrap().estimate(&mut host.host()).unwrap();
    assert_eq!(scores.ascending(), [1, 3, 5, 4, 2, 0]);
}

#[test]
fn the_least_important_layers_are_replaced_by_default() {
    let mut replacer = Harmonizer::new(NoOptions {}).unwrap();
    let ask = scaleot_plugin_api::ReplaceRequest::new(5, vec![0, 4], 2);
    let scores = |scores: &[f32]| ImportanceScores::new(scores.to_vec());
    let plan = replacer.select(&scores(&[0.0, 0.5, 0.1, 0.5, 0.0]), &ask).unwrap();
    assert_eq!(plan.layers_with(scaleot_plugin_api::LayerRole::Replace), [1, 2], "ties go to the shallower layer");
    let error = replacer.select(&scores(&[0.0, 0.5]), &ask).unwrap_err();
    assert_eq!(error.message, "2 importance scores were given for 5 layers");
}
