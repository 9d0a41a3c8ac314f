//! The columns of the result table: zero-shot, emulator, emulator-tuned, plug-in, full tuning; each is an artefact of its own.

use super::{Run, identity};
use crate::bundle;
use crate::error::StageError;
use crate::evaluate::{ChoiceScores, ChoiceSet, Entry, Estimate, Limits, Report, Source, TextScores, score_text};
use crate::load::load_tokenizer;
use crate::plug_in::plug_in;
use crate::progress::Progress;
use crate::tune::RETURN;
use scaleot_config::Column;
use scaleot_data::{Subset, TaskSet, TextOptions, TextWindows, Tokenizer};
use scaleot_model::Decoder;
use scaleot_store::{ManifestHead, VerifiedFolder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The artefact of one column.
pub const COLUMN: ManifestHead = ManifestHead { format: "scaleot-evaluation", version: 1 };

/// A figure of a task: mean, standard error (none for one sample), samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Mean over the samples.
    pub mean: f64,
    /// Standard error of the mean.
    pub stderr: Option<f64>,
    /// Samples.
    pub n: usize,
}

impl From<Estimate> for Figure {
    fn from(estimate: Estimate) -> Self {
        Self { mean: estimate.mean, stderr: estimate.stderr, n: estimate.n }
    }
}

/// A column's figures on one task, by metric key (`acc`, `acc_norm`, `answer_loss`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    /// Task name of lm-evaluation-harness.
    pub task: String,
    /// By metric.
    pub figures: BTreeMap<String, Figure>,
}

/// A column's figures on plain text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextResult {
    /// Nats per token.
    pub nll: Figure,
    /// `exp(nll)`.
    pub perplexity: f64,
    /// Scored tokens.
    pub tokens: usize,
}

/// What a column's artefact says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnResult {
    /// Digest of everything that the result depends on.
    pub inputs: String,
    /// Which column.
    pub column: Column,
    /// One entry per task.
    pub tasks: Vec<TaskResult>,
    /// On the text files, if the config names any.
    pub text: Option<TextResult>,
}

impl Run {
    /// Evaluates every column of the config that can be: `full_tuning` runs its training first.
    ///
    /// # Errors
    /// A missing stage, or what is wrong with a data set.
    pub fn evaluate(&mut self, progress: &mut dyn Progress) -> Result<Vec<ColumnResult>, StageError> {
        let columns = self.config.evaluate.columns.clone();
        columns.into_iter().map(|column| self.column(column, progress)).collect()
    }

    /// Evaluates one column, unless it is up to date.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn column(&mut self, column: Column, progress: &mut dyn Progress) -> Result<ColumnResult, StageError> {
        let name = format!("evaluate-{}", column.key().replace('_', "-"));
        let subject = self.subject_inputs(column)?;
        let inputs = self.inputs(&name, json!([subject, self.evaluation_inputs()?]));
        if let Some(done) = self.up_to_date((&name, COLUMN), &inputs, progress)? {
            return Ok(done.body()?);
        }
        self.measured(&name, |run| {
            let (decoder, tokenizer) = run.subject(column)?;
            let tasks = run.score_tasks(&decoder, &tokenizer, (column, &mut *progress))?;
            let text = run.score_text(&decoder, &tokenizer, (column, progress))?;
            run.write_column(&name, (inputs, column), &tasks, text.as_ref())
        })
    }

    /// What a column is computed from.
    fn subject_inputs(&mut self, column: Column) -> Result<Value, StageError> {
        let bundle = |run: &Self| run.require("bundle", bundle::HEAD, ("bundle", "bundle"));
        let returned = |run: &Self| run.require("return", RETURN, ("return", "tune"));
        Ok(match column {
            Column::ZeroShot => {
                json!(self.owner_model()?.fingerprint.to_string())
            }
            Column::Emulator => json!(identity(&bundle(self)?)),
            Column::EmulatorTuned => json!([identity(&bundle(self)?), identity(&returned(self)?)]),
            Column::PlugIn => {
                let (ledger, limit) = (self.ledger()?, self.config.plug_in.max_delta_ratio);
                let fingerprint = self.owner_model()?.fingerprint.to_string();
                json!([fingerprint, ledger.layer_of_slot, identity(&returned(self)?), limit])
            }
            Column::FullTuning => {
                let head = super::data_owner::FULL_TUNING;
                let tuned = self.require("full_tuning", head, ("fully tuned model", "full-tuning"))?;
                json!(identity(&tuned))
            }
        })
    }

    /// The decoder of a column and its tokenizer.
    fn subject(&mut self, column: Column) -> Result<(Decoder, Tokenizer), StageError> {
        let (device, dtype) = self.place;
        let returned = self.folder("return");
        match column {
            Column::Emulator | Column::EmulatorTuned => {
                let emulator = bundle::open(&self.folder("bundle"), device, dtype)?;
                let mut decoder = emulator.decoder.clone();
                if column == Column::EmulatorTuned {
                    let shipped = (&emulator.decoder, &emulator.description);
                    let limit = f64::INFINITY;
                    let verified = crate::plug_in::verify(&returned, shipped, emulator.bundle, limit)?;
                    plug_in(&mut decoder, &verified, &|slot| Some(slot))?;
                }
                Ok((decoder, emulator.tokenizer))
            }
            Column::ZeroShot | Column::PlugIn | Column::FullTuning => {
                let decoder = match column {
                    Column::PlugIn => self.plugged(&returned)?.0,
                    Column::FullTuning => self.fully_tuned()?,
                    _ => self.owner_model()?.model.decoder.clone(),
                };
                let tokenizer = load_tokenizer(&self.config.model.path, decoder.config.vocabulary)?;
                Ok((decoder, tokenizer))
            }
        }
    }

    fn score_tasks(
        &self,
        decoder: &Decoder,
        tokenizer: &Tokenizer,
        (column, progress): (Column, &mut dyn Progress),
    ) -> Result<Vec<ChoiceScores>, StageError> {
        let known = TaskSet::with_folder(&self.config.data.folder)?;
        let config = &self.config.evaluate;
        let limits = Limits { max_tokens: decoder.config.context, batch_tokens: config.batch_tokens.get() as usize };
        let which = config.limit.map_or(Subset::All, |count| Subset::First(count.get() as usize));
        let mut scored = Vec::new();
        for name in self.evaluated_tasks() {
            let task = known.get(name)?;
            let source = Source { tasks: &self.config.data.folder, split: config.split, subset: which };
            let set = ChoiceSet::read(task, source, tokenizer, limits)?;
            progress.begin(&format!("evaluate {} on {name}", column.key()), set.len() as u64);
            let mut stopped = false;
            let scores = set.score(decoder, &mut |done, _| {
                progress.at(done as u64, "questions");
                stopped |= crate::progress::stop_requested();
            })?;
            if stopped {
                return Err(StageError::Stopped { stage: "evaluate" });
            }
            progress.end("");
            scored.push(scores);
        }
        Ok(scored)
    }

    fn score_text(
        &self,
        decoder: &Decoder,
        tokenizer: &Tokenizer,
        (column, progress): (Column, &mut dyn Progress),
    ) -> Result<Option<TextScores>, StageError> {
        let config = &self.config.evaluate;
        if config.text.is_empty() {
            return Ok(None);
        }
        let block_length = (config.block_length as usize).min(decoder.config.context);
        let options = TextOptions { block_length, batch_size: 1, seed: 0 };
        let windows = TextWindows::read(&config.text, tokenizer, options)?;
        let limit = config.limit.map(|count| count.get() as usize);
        progress.begin(&format!("evaluate {} on text", column.key()), windows.len() as u64);
        let batch_tokens = config.batch_tokens.get() as usize;
        let scores = score_text(decoder, &windows, limit, batch_tokens, &mut |done, _| {
            progress.at(done as u64, "windows");
        })?;
        progress.end("");
        Ok(Some(scores))
    }

    fn write_column(
        &self,
        name: &str,
        (inputs, column): (String, Column),
        tasks: &[ChoiceScores],
        text: Option<&TextScores>,
    ) -> Result<ColumnResult, StageError> {
        let mut entries: Vec<Entry<'_>> = tasks.iter().map(Entry::Choice).collect();
        entries.extend(text.map(|scores| Entry::Text { name: "text", scores }));
        let report = Report { config: serde_json::Map::from_iter([("model".into(), json!(column))]), date: None };
        let mut stage = self.dir.stage(name)?;
        stage.write_json("results.json", &report.results(&entries))?;
        for scores in tasks {
            let file = format!("samples_{}.jsonl", scores.task.name);
            stage.write_bytes(&file, scores.samples_jsonl().as_bytes())?;
        }
        let tasks = tasks.iter().map(task_result).collect();
        let text = text.map(|scores| TextResult {
            nll: scores.nll.into(),
            perplexity: scores.perplexity(),
            tokens: scores.tokens,
        });
        let result = ColumnResult { inputs, column, tasks, text };
        let _: VerifiedFolder = stage.commit(COLUMN, &result)?;
        Ok(result)
    }
}

fn task_result(scores: &ChoiceScores) -> TaskResult {
    let figures = scores.task.metrics.iter().filter_map(|metric| {
        let estimate = scores.estimate(*metric)?;
        Some((metric.key().to_owned(), Figure::from(estimate)))
    });
    TaskResult { task: scores.task.name.clone(), figures: figures.collect() }
}
