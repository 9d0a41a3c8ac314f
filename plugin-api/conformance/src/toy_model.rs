//! The model behind the fake host, made of numbers: what a mixture costs is known, so an estimator can be checked.
//!
//! `loss(mask) = base(batch) + sum over replaced layers of cost_i(batch) skill_i`; held-out and training batches are counted apart,
//! and no two are alike. A training step lowers the `skill` of the layers
//! that it trains by a hundredth of the way to [`FLOOR`]; a tuning step lowers the adapter's loss by a hundredth.

use crate::random::{Stream, seed_for};
use crate::toy_similarity::Outputs;
use scaleot_plugin_api::services::{
    GradientStep, LayerStatistics, LocalFit, Losses, Outline, OutputSimilarity, Seed, Service, TrainableLayers,
    TrainingStep,
};
use scaleot_plugin_api::{
    FitReport, FitStep, LayerMask, LayerStatistic, ModelOutline, PluginError, StepReport, TrainStep, unknown_service,
};

/// Loss of the full model, in nats per token.
const BASE_LOSS: f64 = 2.0;
/// Deviation of the loss between batches.
const BATCH_DEVIATION: f64 = 0.05;
/// Deviation of what a layer costs between batches, as a share of it.
const COST_DEVIATION: f64 = 0.02;
/// The share of its cost that a trained substitute keeps.
const FLOOR: f64 = 0.5;
/// The share of the way that one step goes.
const STEP: f64 = 0.01;
/// Loss of the adapter before tuning.
const UNTUNED_LOSS: f64 = 3.0;

/// The text that a batch comes from.
#[derive(Clone, Copy)]
enum Text {
    Train,
    HeldOut,
}

/// One batch: the full model's loss on it, and what each layer costs there.
struct Batch {
    base: f64,
    costs: Vec<f64>,
}

#[derive(Clone, PartialEq)]
pub(crate) struct ToyModel {
    pub(crate) outline: ModelOutline,
    pub(crate) costs: Vec<f64>,
    pub(crate) run_seed: u64,
    /// True where the substitute trains.
    pub(crate) trainable: Vec<bool>,
    /// True where layers cost more on one batch than on another.
    pub(crate) varies: bool,
    skills: Vec<f64>,
    trained: u64,
    judged: u64,
    tuned: u64,
    tuned_loss: f64,
}

impl ToyModel {
    pub(crate) fn new(outline: ModelOutline, run_seed: u64) -> Self {
        let mut stream = Stream::new(seed_for(run_seed, "layer costs"));
        let costs: Vec<f64> = outline.layers.iter().map(|_| 0.1 + stream.uniform()).collect();
        let (trainable, skills) = (vec![true; costs.len()], vec![1.0; costs.len()]);
        let (trained, judged, tuned) = (0, 0, 0);
        Self {
            outline,
            costs,
            run_seed,
            trainable,
            varies: true,
            skills,
            trained,
            judged,
            tuned,
            tuned_loss: UNTUNED_LOSS,
        }
    }

    /// Answers a named question.
    pub(crate) fn answer(&mut self, name: &str, question: &[u8]) -> Result<Vec<u8>, PluginError> {
        match name {
            Outline::NAME => Outline::answer(question, |()| Ok(self.outline.clone())),
            Losses::NAME => Losses::answer(question, |masks| self.losses(&masks)),
            TrainingStep::NAME => TrainingStep::answer(question, |step| self.train_step(&step)),
            TrainableLayers::NAME => TrainableLayers::answer(question, |()| Ok(self.trainable.clone())),
            LocalFit::NAME => LocalFit::answer(question, |step| self.fit_step(step)),
            GradientStep::NAME => GradientStep::answer(question, |()| Ok(self.gradient_step())),
            LayerStatistics::NAME => LayerStatistics::answer(question, |statistic| self.statistics(statistic)),
            OutputSimilarity::NAME => OutputSimilarity::answer(question, |request| {
                let outputs = Outputs { width: self.outline.hidden_size, costs: &self.costs, run_seed: self.run_seed };
                outputs.similarity(request)
            }),
            Seed::NAME => Seed::answer(question, |purpose| Ok(seed_for(self.run_seed, &purpose))),
            _ => Err(unknown_service(name)),
        }
    }

    fn gradient_step(&mut self) -> StepReport {
        let purpose = format!("pairs {}", self.tuned);
        let deviation = BATCH_DEVIATION * Stream::new(seed_for(self.run_seed, &purpose)).normal();
        let report = StepReport::new(self.tuned_loss + deviation);
        (self.tuned, self.tuned_loss) = (self.tuned + 1, self.tuned_loss * (1.0 - STEP));
        report
    }

    fn next_batch(&mut self, text: Text) -> Batch {
        let (count, name) = match text {
            Text::Train => (&mut self.trained, "batch"),
            Text::HeldOut => (&mut self.judged, "held-out batch"),
        };
        let mut stream = Stream::new(seed_for(self.run_seed, &format!("{name} {count}")));
        *count += 1;
        let base = BASE_LOSS + BATCH_DEVIATION * stream.normal();
        let deviation = if self.varies { COST_DEVIATION } else { 0.0 };
        let costs = self.costs.iter().map(|cost| cost * (1.0 + deviation * stream.normal())).collect();
        Batch { base, costs }
    }

    fn check(&self, mask: &LayerMask) -> Result<(), PluginError> {
        let (found, expected) = (mask.original.len(), self.costs.len());
        if found == expected {
            return Ok(());
        }
        Err(PluginError::host(format!("a mask has {found} entries, the model has {expected} layers")))
    }

    fn loss(&self, batch: &Batch, mask: &LayerMask) -> f64 {
        let costs = batch.costs.iter().zip(&self.skills);
        let replaced = mask.original.iter().zip(costs).filter(|(original, _)| !**original);
        batch.base + replaced.map(|(_, (cost, skill))| cost * skill).sum::<f64>()
    }

    fn losses(&mut self, masks: &[LayerMask]) -> Result<Vec<f64>, PluginError> {
        masks.iter().try_for_each(|mask| self.check(mask))?;
        let batch = self.next_batch(Text::HeldOut);
        Ok(masks.iter().map(|mask| self.loss(&batch, mask)).collect())
    }

    fn train_step(&mut self, step: &TrainStep) -> Result<StepReport, PluginError> {
        self.check(&step.mask)?;
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
        let batch = self.next_batch(Text::Train);
        let loss = self.loss(&batch, &step.mask);
        self.learn(&trains);
        Ok(StepReport::new(loss))
    }

    fn fit_step(&mut self, step: FitStep) -> Result<FitReport, PluginError> {
        let rate = step.learning_rate;
        if !(rate > 0.0 && rate.is_finite()) || step.windows == 0 {
            return Err(PluginError::host(format!("{step:?} needs a learning rate above 0 and at least one window")));
        }
        let batch = self.next_batch(Text::Train);
        let share = |(cost, own): (&f64, &f64)| if *own == 0.0 { 1.0 } else { cost / own };
        let shares = batch.costs.iter().zip(&self.costs).map(share);
        let residuals = self.skills.iter().zip(shares).map(|(skill, share)| skill * share).collect();
        for _ in 0..step.steps {
            self.learn(&self.trainable.clone());
        }
        Ok(FitReport::new(residuals))
    }

    fn learn(&mut self, trains: &[bool]) {
        let learners = self.skills.iter_mut().zip(trains).filter(|(_, trains)| **trains);
        learners.for_each(|(skill, _)| *skill -= STEP * (*skill - FLOOR));
    }

    fn statistics(&mut self, statistic: LayerStatistic) -> Result<Vec<f64>, PluginError> {
        let batch = self.next_batch(Text::HeldOut);
        let of = |cost: &f64| {
            Ok(match statistic {
                LayerStatistic::InputOutputCosine => 1.0 / (1.0 + cost.max(0.0)),
                LayerStatistic::TaylorImportance => cost.max(0.0),
                LayerStatistic::PrunedOutputError { percent } => (cost * f64::from(percent) / 100.0).powi(2),
                LayerStatistic::RoundedOutputError { bits } => (cost / f64::from(bits).exp2()).powi(2),
                other => return Err(PluginError::unsupported(format!("this host has no layer statistic {other:?}"))),
            })
        };
        batch.costs.iter().map(of).collect()
    }
}
