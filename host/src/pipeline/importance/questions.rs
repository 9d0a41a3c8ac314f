//! The owner's answers to plugins: outline, losses of layer mixtures, training steps on substitutes, statistics, notices.

use super::mixture::Mixture;
use crate::fault::escape;
use crate::pipeline::error::{StageError, told_to_plugin};
use crate::pipeline::progress::{Progress, stop_requested};
use crate::plugins::Questions;
use crate::store::Digest;
use plugin_api::{
    ErrorCode, LayerMask, LayerStatistic, ModelOutline, Notice, Objective, PluginError, TrainStep, unknown_service,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What the owner's stages answer.
pub struct OwnerQuestions<'a> {
    /// The full model's outline.
    pub outline: &'a ModelOutline,
    /// The run's seed.
    pub seed: u64,
    /// Where notices go.
    pub progress: &'a mut dyn Progress,
    /// Model, substitutes and public text; none when the config names no text.
    pub mixture: Option<&'a mut Mixture>,
}

impl OwnerQuestions<'_> {
    fn mixture(&mut self) -> Result<&mut Mixture, PluginError> {
        self.mixture.as_deref_mut().ok_or_else(|| {
            PluginError::host("losses and training need public text, and the config names none")
                .with_help("set data.public_text to one or more UTF-8 files")
        })
    }

    fn notice(&mut self, notice: Notice) -> Result<(), PluginError> {
        match notice {
            Notice::Progress { done, .. } => self.progress.at(done, ""),
            Notice::Log { message } => self.progress.log(&escape(&message)),
        }
        if stop_requested() {
            return Err(PluginError::new(ErrorCode::Interrupted, "the person asked to stop"));
        }
        Ok(())
    }
}

impl Questions for OwnerQuestions<'_> {
    fn answer(&mut self, name: &str, question: &[u8]) -> Result<Vec<u8>, PluginError> {
        match name {
            "outline" => json(self.outline),
            "seed" => json(&seed_for(self.seed, &read::<String>(question)?)),
            "losses" => {
                let masks: Vec<LayerMask> = read(question)?;
                json(&self.mixture()?.losses(&masks).map_err(told)?)
            }
            "train_step" => {
                let step: TrainStep = read(question)?;
                json(&self.mixture()?.train_step(&step, None).map_err(told)?)
            }
            "train_step_towards" => {
                let (step, objective): (TrainStep, Objective) = read(question)?;
                json(&self.mixture()?.train_step(&step, Some(&objective)).map_err(told)?)
            }
            "layer_statistics" => {
                let statistic: LayerStatistic = read(question)?;
                json(&self.mixture()?.layer_statistics(statistic).map_err(told)?)
            }
            "notice" => json(&self.notice(read(question)?)?),
            _ => Err(unknown_service(name)),
        }
    }
}

fn told(error: StageError) -> PluginError {
    told_to_plugin(&error)
}

fn read<T: DeserializeOwned>(question: &[u8]) -> Result<T, PluginError> {
    Ok(serde_json::from_slice(question)?)
}

fn json<T: Serialize + ?Sized>(answer: &T) -> Result<Vec<u8>, PluginError> {
    Ok(serde_json::to_vec(answer)?)
}

/// The seed of a purpose: the first eight bytes of SHA-256 over seed and purpose.
pub fn seed_for(seed: u64, purpose: &str) -> u64 {
    let digest = Digest::of(format!("{seed}/{purpose}").as_bytes()).to_string();
    u64::from_str_radix(digest.get(..16).unwrap_or("0"), 16).unwrap_or(seed)
}
