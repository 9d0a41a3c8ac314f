//! The settings of a training, from a section of the config.

use super::adamw::AdamWOptions;
use super::step_batches::StepBatches;
use super::trainer::TrainSettings;
use scaleot_config::{TrainingLength, TrainingSection};

/// A training of a set whose epoch has this many batches.
pub fn train_settings(section: &TrainingSection, batches_per_epoch: u64) -> TrainSettings {
    let batches = StepBatches { per_epoch: batches_per_epoch, accumulation: section.accumulation.get().into() };
    let steps = match section.length() {
        TrainingLength::Steps(steps) => steps.get(),
        TrainingLength::Epochs(epochs) => batches.steps_per_epoch() * u64::from(epochs.get()),
    };
    let evaluate_every = match section.evaluate_every {
        0 => batches.steps_per_epoch(),
        steps => u64::from(steps),
    };
    let [beta1, beta2] = section.betas;
    TrainSettings {
        learning_rate: section.learning_rate.get(),
        steps,
        batches,
        adamw: AdamWOptions {
            betas: (beta1.get(), beta2.get()),
            epsilon: section.epsilon.get(),
            weight_decay: section.weight_decay.get(),
        },
        schedule: section.schedule,
        warmup_steps: u64::from(section.warmup_steps),
        clip_norm: Some(section.clip_norm.get()).filter(|limit| *limit > 0.0),
        evaluate_every,
        checkpoint_every: u64::from(section.checkpoint_every.get()),
    }
}
