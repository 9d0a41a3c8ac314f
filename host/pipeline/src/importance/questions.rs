//! The owner's answers to plugins: outline, losses of layer mixtures, training and fitting of substitutes, statistics, moments,
//! curves, checkpoints, notices.

use super::keeper::Keeper;
use super::later::LaterMixture;
use super::mixture::Mixture;
use super::moments::MomentSource;
use crate::error::{StageError, told_to_plugin};
use crate::progress::{Progress, stop_requested};
use scaleot_model::Decoder;
use scaleot_plugin_api::services::{
    Curvatures, CurvePoints, LayerStatistics, LocalFit, Losses, Moments, Notices, Outline, OutputSimilarity, Seed,
    Service as _, TrainableLayers, TrainingStep, Weights,
};
use scaleot_plugin_api::{ErrorCode, ModelOutline, Notice, PluginError, WeightRole, unknown_service};
use scaleot_plugins::{Give, PluginFault, Questions};
use scaleot_store::Digest;
use scaleot_store::escape::escape;
use scaleot_tensor::{Dtype, Tensor};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What the owner's stages answer.
pub struct OwnerQuestions<'a, 'k> {
    outline: &'a ModelOutline,
    seed: u64,
    progress: &'a mut dyn Progress,
    /// Model, substitutes and public text; none when the config names no text.
    pub mixture: Option<&'a mut Mixture>,
    /// The same, made by the first question that needs it.
    pub later: Option<&'a mut LaterMixture<'k>>,
    /// Whose weights may be looked at.
    pub decoder: Option<&'a Decoder>,
    /// Moments of layers over the public text; while substitutes are made.
    pub moments: Option<&'a mut MomentSource<'k>>,
    /// Curves and checkpoints; in the importance stage.
    pub keeper: Option<&'a mut Keeper<'k>>,
    /// Units of the work that is shown, if a plugin told them.
    total: Option<u64>,
    /// The host's own last failure, which says more than what the plugin was told.
    failed: Option<StageError>,
}

impl<'a> OwnerQuestions<'a, '_> {
    /// Answers outline, seed and notices; more once the fields are set.
    pub fn new(outline: &'a ModelOutline, seed: u64, progress: &'a mut dyn Progress) -> Self {
        Self {
            outline,
            seed,
            progress,
            mixture: None,
            later: None,
            decoder: None,
            moments: None,
            keeper: None,
            total: None,
            failed: None,
        }
    }

    /// The estimator is at work from here; the replacer is done, in this state.
    pub fn begin_estimate(&mut self, replacer_state: Vec<u8>) {
        (self.total, self.failed) = (None, None);
        if let Some(keeper) = self.keeper.as_deref_mut() {
            keeper.begin_estimate(replacer_state);
        }
    }

    /// The outcome of a plugin's call. A failure of the host that the plugin passed on is told as the host's own: a request to stop
    /// is no fault of the plugin.
    ///
    /// # Errors
    /// The host's failure, or the plugin's.
    pub fn told<T>(&mut self, outcome: Result<T, PluginFault>) -> Result<T, StageError> {
        let failed = self.failed.take();
        outcome.map_err(|fault| match failed {
            Some(error) if fault.code() == Some(told_to_plugin(&error).code) => error,
            _ => fault.into(),
        })
    }

    /// The host failed: what the plugin is told of it.
    fn fail(&mut self, error: StageError) -> PluginError {
        let told = told_to_plugin(&error);
        self.failed = Some(error);
        told
    }

    fn mixture(&mut self) -> Result<&mut Mixture, PluginError> {
        let mixture = match (self.mixture.as_deref_mut(), self.later.as_deref_mut()) {
            (Some(mixture), _) => Some(mixture),
            (None, Some(later)) => later.get().map_err(told)?,
            (None, None) => None,
        };
        mixture.ok_or_else(|| no_text("losses, statistics and training"))
    }

    /// Handles of the weights of a layer.
    fn layer_weights(&self, question: &[u8], give: Give<'_>) -> Result<Vec<u8>, PluginError> {
        let (layer, roles): (usize, Vec<WeightRole>) = read(question)?;
        let decoder = self.decoder.ok_or_else(|| PluginError::host("no weights are at hand during this call"))?;
        let weights = layer_weights(decoder, layer).map_err(told)?.into_iter();
        let handles = weights.filter(|(role, _)| roles.contains(role)).map(|(role, tensor)| (role, give(tensor)));
        json(&handles.collect::<Vec<_>>())
    }

    fn notice(&mut self, notice: Notice) -> Result<(), PluginError> {
        match notice {
            Notice::Progress { done, total, state } => {
                self.mark(state)?;
                if self.total != Some(total) {
                    self.total = Some(total);
                    self.progress.begin("importance", total);
                }
                self.progress.at(done, &self.last_loss());
            }
            Notice::Log { message } => self.progress.log(&escape(&message)),
            // A notice of a newer contract is for a newer display.
            _ => {}
        }
        self.stop_if_asked()
    }

    /// The newest training loss, for the progress display.
    fn last_loss(&self) -> String {
        let curve = self.keeper.as_deref().and_then(|keeper| keeper.curves.get("train_loss"));
        let last = curve.and_then(|curve| curve.values.last()).and_then(|row| row.first());
        last.map_or_else(String::new, |loss| format!("loss {loss:.4}"))
    }

    fn stop_if_asked(&mut self) -> Result<(), PluginError> {
        if !stop_requested() {
            return Ok(());
        }
        let mut written = None;
        if let Some(keeper) = self.keeper.as_deref_mut() {
            keeper.flush(self.mixture.as_deref()).map_err(told)?;
            written = keeper.written();
        }
        let stage = if self.later.is_some() { "compress" } else { "importance" };
        Err(self.fail(match written {
            Some(step) => StageError::Interrupted { stage, step },
            None => StageError::Stopped { stage },
        }))
    }

    fn mark(&mut self, state: Vec<u8>) -> Result<(), PluginError> {
        let keeper = self.keeper.as_deref_mut();
        keeper.map_or(Ok(()), |keeper| keeper.mark(state, self.mixture.as_deref()).map_err(told))
    }

    fn record(&mut self, question: &[u8]) -> Result<(), PluginError> {
        let keeper = self.keeper.as_deref_mut();
        let refused = |fault| PluginError::new(ErrorCode::Host, fault);
        keeper.map_or(Ok(()), |keeper| keeper.curves.add(read(question)?).map_err(refused))
    }
}

impl Questions for OwnerQuestions<'_, '_> {
    fn answer(&mut self, name: &str, question: &[u8]) -> Result<Vec<u8>, PluginError> {
        match name {
            Outline::NAME => json(self.outline),
            Seed::NAME => Seed::answer(question, |purpose| Ok(seed_for(self.seed, &purpose))),
            Losses::NAME => Losses::answer(question, |masks| self.mixture()?.losses(&masks).map_err(told)),
            TrainingStep::NAME => {
                TrainingStep::answer(question, |step| self.mixture()?.train_step(&step, None).map_err(told))
            }
            TrainableLayers::NAME => TrainableLayers::answer(question, |()| Ok(self.mixture()?.trainable_layers())),
            LocalFit::NAME => LocalFit::answer(question, |step| self.mixture()?.fit_step(&step).map_err(told)),
            LayerStatistics::NAME => {
                LayerStatistics::answer(question, |statistic| self.mixture()?.layer_statistics(statistic).map_err(told))
            }
            OutputSimilarity::NAME => {
                OutputSimilarity::answer(question, |request| self.mixture()?.output_similarity(request).map_err(told))
            }
            CurvePoints::NAME => json(&self.record(question)?),
            Notices::NAME => Notices::answer(question, |notice| self.notice(notice)),
            _ => Err(unknown_service(name)),
        }
    }

    fn answer_with(&mut self, name: &str, question: &[u8], give: Give<'_>) -> Result<Vec<u8>, PluginError> {
        match name {
            Moments::NAME => {}
            Curvatures::NAME => {
                let found = self.mixture()?.layer_curvature(read(question)?).map_err(told)?.into_iter();
                let handles = found.map(|(role, curvature)| {
                    let given = curvature.try_map::<_, PluginError>(&mut |tensor| Ok(give(tensor)));
                    given.map(|curvature| (role, curvature))
                });
                return json(&handles.collect::<Result<Vec<_>, _>>()?);
            }
            Weights::NAME => return self.layer_weights(question, give),
            _ => return self.answer(name, question),
        }
        let source = self.moments.as_deref_mut().ok_or_else(|| no_text("moments of layers"))?;
        let moments = source.moments(read(question)?).map_err(told)?;
        let handles = moments.try_map::<_, PluginError>(&mut |tensor| Ok(give(tensor)))?;
        json(&handles)
    }
}

/// Dense weights of a layer by role, norms included, in fp32 whatever the model is stored in.
///
/// # Errors
/// A layer that does not exist.
pub fn layer_weights(decoder: &Decoder, layer: usize) -> Result<Vec<(WeightRole, Tensor)>, StageError> {
    let layer = decoder.layer(layer)?;
    let mut weights = Vec::new();
    for role in WeightRole::ALL {
        if let Some(projection) = layer.projection(role) {
            weights.push((role, projection.weight.dense()?.to_dtype(Dtype::F32)?));
        } else if let Some(norm) = layer.norm(role) {
            weights.push((role, norm.weight.to_dtype(Dtype::F32)?));
        }
    }
    Ok(weights)
}

fn no_text(what: &str) -> PluginError {
    PluginError::host(format!("{what} need public text, and there is none here"))
        .with_help("set data.public_text to one or more UTF-8 files")
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
