//! The model behind the fake host, made of numbers: what a mixture costs is known, so an estimator can be checked.
//!
//! `loss(mask) = base(batch) + sum over replaced layers of cost_i skill_i`. A training step lowers the `skill` of the layers
//! that it trains by a hundredth of the way to [`FLOOR`]; a tuning step lowers the adapter's loss by a hundredth.

use super::random::{Stream, seed_for};
use super::toy_similarity;
use crate::error::PluginError;
use crate::fitting::{FitReport, FitStep};
use crate::host::{LayerStatistic, StepReport, TrainStep};
use crate::objective::Objective;
use crate::outline::ModelOutline;
use crate::plan::LayerMask;
use crate::services::unknown_service;
use serde::Serialize;

/// Loss of the full model, in nats per token.
const BASE_LOSS: f64 = 2.0;
/// Deviation of the loss between batches.
const BATCH_DEVIATION: f64 = 0.05;
/// The share of its cost that a trained substitute keeps.
const FLOOR: f64 = 0.5;
/// How far one step goes.
const STEP: f64 = 0.01;
/// Loss of the adapter before tuning.
const UNTUNED_LOSS: f64 = 3.0;

pub(super) struct ToyModel {
    pub(super) outline: ModelOutline,
    pub(super) costs: Vec<f64>,
    pub(super) run_seed: u64,
    /// Whose substitute trains.
    pub(super) trainable: Vec<bool>,
    skills: Vec<f64>,
    batches: u64,
    tuned_loss: f64,
}

impl ToyModel {
    pub(super) fn new(outline: ModelOutline, run_seed: u64) -> Self {
        let mut stream = Stream::new(seed_for(run_seed, "layer costs"));
        let costs: Vec<f64> = outline.layers.iter().map(|_| 0.1 + stream.uniform()).collect();
        let (trainable, skills) = (vec![true; costs.len()], vec![1.0; costs.len()]);
        Self { outline, costs, run_seed, trainable, skills, batches: 0, tuned_loss: UNTUNED_LOSS }
    }

    /// Answers a named question.
    pub(super) fn answer(&mut self, name: &str, question: &[u8]) -> Result<Vec<u8>, PluginError> {
        match name {
            "outline" => json(&self.outline),
            "losses" => json(&self.losses(&serde_json::from_slice::<Vec<LayerMask>>(question)?)?),
            "train_step" => json(&self.train_step(&serde_json::from_slice(question)?)?),
            "train_step_towards" => {
                let (step, _): (TrainStep, Objective) = serde_json::from_slice(question)?;
                json(&self.train_step(&step)?)
            }
            "trainable_layers" => json(&self.trainable),
            "fit_step" => json(&self.fit_step(serde_json::from_slice(question)?)?),
            "gradient_step" => {
                let report = StepReport { loss: self.tuned_loss };
                self.tuned_loss *= 1.0 - STEP;
                json(&report)
            }
            "layer_statistics" => json(&self.statistics(LayerStatistic::of_question(question)?)),
            "output_similarity" => json(&toy_similarity::output_similarity(self, serde_json::from_slice(question)?)?),
            "seed" => json(&seed_for(self.run_seed, &serde_json::from_slice::<String>(question)?)),
            _ => Err(unknown_service(name)),
        }
    }

    /// The loss of the next batch under the full model.
    fn next_batch(&mut self) -> f64 {
        let purpose = format!("batch {}", self.batches);
        self.batches += 1;
        BASE_LOSS + BATCH_DEVIATION * Stream::new(seed_for(self.run_seed, &purpose)).normal()
    }

    fn extra_loss(&self, mask: &LayerMask) -> Result<f64, PluginError> {
        let (found, expected) = (mask.original.len(), self.costs.len());
        if found != expected {
            return Err(PluginError::host(format!("a mask has {found} entries, the model has {expected} layers")));
        }
        let replaced =
            mask.original.iter().zip(self.costs.iter().zip(&self.skills)).filter(|(original, _)| !**original);
        Ok(replaced.map(|(_, (cost, skill))| cost * skill).sum())
    }

    fn losses(&mut self, masks: &[LayerMask]) -> Result<Vec<f64>, PluginError> {
        let base = self.next_batch();
        masks.iter().map(|mask| Ok(base + self.extra_loss(mask)?)).collect()
    }

    fn train_step(&mut self, step: &TrainStep) -> Result<StepReport, PluginError> {
        let extra = self.extra_loss(&step.mask)?;
        if !(step.learning_rate > 0.0 && step.learning_rate.is_finite()) {
            let found = step.learning_rate;
            return Err(PluginError::host(format!("the learning rate is {found}, expected a number above 0")));
        }
        let trains: Vec<bool> =
            self.trainable.iter().zip(&step.mask.original).map(|(&own, &kept)| own && !kept).collect();
        if !trains.contains(&true) {
            let why = "no replaced layer has a substitute that trains";
            return Err(PluginError::host(format!("nothing trains under this mask: {why}")));
        }
        let loss = self.next_batch() + extra;
        self.learn(&trains);
        Ok(StepReport { loss })
    }

    fn fit_step(&mut self, step: FitStep) -> Result<FitReport, PluginError> {
        let rate = step.learning_rate;
        if !(rate > 0.0 && rate.is_finite()) || step.windows == 0 {
            return Err(PluginError::host(format!("{step:?} needs a learning rate above 0 and at least one window")));
        }
        let residuals = self.skills.clone();
        for _ in 0..step.steps {
            self.learn(&self.trainable.clone());
        }
        Ok(FitReport { residuals })
    }

    fn learn(&mut self, trains: &[bool]) {
        let learners = self.skills.iter_mut().zip(trains).filter(|(_, trains)| **trains);
        learners.for_each(|(skill, _)| *skill -= STEP * (*skill - FLOOR));
    }

    fn statistics(&self, statistic: LayerStatistic) -> Vec<f64> {
        let of = |cost: &f64| match statistic {
            LayerStatistic::InputOutputCosine => 1.0 / (1.0 + cost.max(0.0)),
            LayerStatistic::RelativeChange | LayerStatistic::TaylorImportance => cost.max(0.0),
            LayerStatistic::PrunedOutputError { percent } => (cost * f64::from(percent) / 100.0).powi(2),
            LayerStatistic::RoundedOutputError { bits } => (cost / f64::from(bits).exp2()).powi(2),
        };
        self.costs.iter().map(of).collect()
    }
}

fn json<T: Serialize>(answer: &T) -> Result<Vec<u8>, PluginError> {
    Ok(serde_json::to_vec(answer)?)
}
