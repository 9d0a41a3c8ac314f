//! From the config's words to the runtime's: device, dtype, threads, training settings.

use crate::error::StageError;
use crate::tune::{AdamWOptions, StepBatches, TrainSettings};
use scaleot_config::{Precision, RunConfig, TrainingLength, TrainingSection};
use scaleot_tensor::{Device, Dtype};
use std::num::NonZeroUsize;

/// Where and in what type the run computes.
pub fn place(config: &RunConfig) -> Result<(Device, Dtype), StageError> {
    let device: Device = config.runtime.device.to_string().parse()?;
    let dtype = match config.model.dtype {
        Precision::Fp32 => Dtype::F32,
        Precision::Bf16 => Dtype::BF16,
        Precision::Fp16 => Dtype::F16,
    };
    Ok((device, dtype))
}

/// Threads of the tensor engine; 0 in the config means every core.
pub fn threads(config: &RunConfig) -> usize {
    match config.runtime.threads as usize {
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        threads => threads,
    }
}

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
