//! The owner's answers to plugins: outline, losses of layer mixtures, training and fitting of substitutes, statistics, moments,
//! curves, checkpoints, notices.

use super::checkpoint::EstimatorCheckpoints;
use super::layer_weights::layer_weights;
use crate::artefacts::Curves;
use crate::error::{StageError, told_to_plugin};
use crate::mixture::{LazyMixture, Mixture, MomentSource};
use crate::progress::{Progress, stop_requested};
use crate::seed::seed_for;
use crate::stage::Stage;
use scaleot_model::Decoder;
use scaleot_plugin_api::services::{
    Curvatures, CurvePoints, LayerStatistics, LocalFit, Losses, Moments, Notices, Outline, OutputSimilarity, Seed,
    Service as _, TrainableLayers, TrainingStep, Weights,
};
use scaleot_plugin_api::{ErrorCode, ModelOutline, Notice, PluginError, WeightRole, unknown_service};
use scaleot_plugins::{Give, PluginFault, Questions};
use scaleot_store::escape::escape;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The owner's answers to one plugin at work.
pub struct OwnerServices<'a, 'k> {
    outline: &'a ModelOutline,
    seed: u64,
    progress: &'a mut dyn Progress,
    sources: OwnerSources<'a, 'k>,
    /// Units of the work that is shown, if a plugin told them.
    total: Option<u64>,
    /// The host's own last failure, which says more than what the plugin was told.
    failed: Option<StageError>,
}

/// The sources of the answers, by the work that is going on.
pub enum OwnerSources<'a, 'k> {
    /// Substitutes are made.
    Substitutes {
        /// The full model, whose weights may be looked at.
        decoder: &'a Decoder,
        /// Moments of layers over public text; none when the config names no text.
        moments: Option<&'a mut MomentSource<'k>>,
    },
    /// Substitutes are prepared and layers scored.
    Importance {
        /// The full model, whose weights may be looked at.
        decoder: &'a Decoder,
        /// Model, substitutes and public text; none when the config names no text.
        mixture: Option<&'a mut Mixture>,
        /// Curves and checkpoints of the stage.
        checkpoints: &'a mut EstimatorCheckpoints<'k>,
    },
    /// Kept layers are compressed.
    Compression {
        /// The model, with the kept layers that were trained.
        decoder: &'a Decoder,
        /// Model and public text, made by the first question that needs them.
        mixture: &'a mut LazyMixture<'k>,
    },
}

impl<'a, 'k> OwnerServices<'a, 'k> {
    /// Answers about a model of this outline, from these sources.
    pub fn new(
        outline: &'a ModelOutline,
        seed: u64,
        progress: &'a mut dyn Progress,
        sources: OwnerSources<'a, 'k>,
    ) -> Self {
        Self { outline, seed, progress, sources, total: None, failed: None }
    }

    /// The estimator is at work from here; the replacer is done, in this state.
    pub fn begin_estimate(&mut self, replacer_state: Vec<u8>) {
        (self.total, self.failed) = (None, None);
        if let OwnerSources::Importance { checkpoints, .. } = &mut self.sources {
            checkpoints.begin_estimate(replacer_state);
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
        let mixture = match &mut self.sources {
            OwnerSources::Substitutes { .. } => None,
            OwnerSources::Importance { mixture, .. } => mixture.as_deref_mut(),
            OwnerSources::Compression { mixture, .. } => mixture.get().map_err(told)?,
        };
        mixture.ok_or_else(|| no_text("losses, statistics and training"))
    }

    fn decoder(&self) -> &'a Decoder {
        match &self.sources {
            OwnerSources::Substitutes { decoder, .. }
            | OwnerSources::Importance { decoder, .. }
            | OwnerSources::Compression { decoder, .. } => decoder,
        }
    }

    /// The curves of the stage, where it keeps any.
    fn curves(&self) -> Option<&Curves> {
        match &self.sources {
            OwnerSources::Importance { checkpoints, .. } => Some(&checkpoints.curves),
            _ => None,
        }
    }

    /// Handles of the weights of a layer.
    fn layer_weights(&self, question: &[u8], give: Give<'_>) -> Result<Vec<u8>, PluginError> {
        let (layer, roles): (usize, Vec<WeightRole>) = read(question)?;
        let weights = layer_weights(self.decoder(), layer).map_err(told)?.into_iter();
        let handles = weights.filter(|(role, _)| roles.contains(role)).map(|(role, tensor)| (role, give(tensor)));
        json(&handles.collect::<Vec<_>>())
    }

    fn notice(&mut self, notice: Notice) -> Result<(), PluginError> {
        match notice {
            Notice::Progress { done, total, state } => {
                self.mark(state)?;
                if self.total != Some(total) {
                    self.total = Some(total);
                    self.progress.begin(Stage::Importance.label(), total);
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
        let curve = self.curves().and_then(|curves| curves.get("train_loss"));
        let last = curve.and_then(|curve| curve.values.last()).and_then(|row| row.first());
        last.map_or_else(String::new, |loss| format!("loss {loss:.4}"))
    }

    fn stop_if_asked(&mut self) -> Result<(), PluginError> {
        if !stop_requested() {
            return Ok(());
        }
        let (mut stage, mut written) = (Stage::Importance, None);
        match &mut self.sources {
            OwnerSources::Substitutes { .. } => {}
            OwnerSources::Importance { mixture, checkpoints, .. } => {
                checkpoints.flush(mixture.as_deref()).map_err(told)?;
                written = checkpoints.written();
            }
            OwnerSources::Compression { .. } => stage = Stage::Compress,
        }
        let stage = stage.label();
        Err(self.fail(match written {
            Some(step) => StageError::Interrupted { stage, step },
            None => StageError::Stopped { stage },
        }))
    }

    fn mark(&mut self, state: Vec<u8>) -> Result<(), PluginError> {
        if let OwnerSources::Importance { mixture, checkpoints, .. } = &mut self.sources {
            checkpoints.mark(state, mixture.as_deref()).map_err(told)?;
        }
        Ok(())
    }

    fn record(&mut self, question: &[u8]) -> Result<(), PluginError> {
        let refused = |fault| PluginError::new(ErrorCode::Host, fault);
        match &mut self.sources {
            OwnerSources::Importance { checkpoints, .. } => checkpoints.curves.add(read(question)?).map_err(refused),
            _ => Ok(()),
        }
    }
}

impl Questions for OwnerServices<'_, '_> {
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
        let OwnerSources::Substitutes { moments: Some(source), .. } = &mut self.sources else {
            return Err(no_text("moments of layers"));
        };
        let moments = source.moments(read(question)?).map_err(told)?;
        let handles = moments.try_map::<_, PluginError>(&mut |tensor| Ok(give(tensor)))?;
        json(&handles)
    }
}

fn no_text(what: &str) -> PluginError {
    PluginError::host(format!("{what} need public text, and there is none here"))
        .with_help("set public_data.text to one or more UTF-8 files")
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
