//! Side: both. Takes: a model, an emulator, a return. Gives: one column of the result table. Plugin kind: none.
//!
//! Columns: zero-shot, emulator, emulator-tuned, plug-in, full tuning; each is an artefact of its own.

use crate::artefacts::{ColumnResult, Emulator, Figure, TaskResult, TextResult};
use crate::delta;
use crate::error::StageError;
use crate::evaluation::{
    ChoiceScores, ChoiceSet, Entry, HarnessReport, Limits, QuestionSource, TextScores, score_text,
};
use crate::load::load_tokenizer;
use crate::progress::{Progress, stop_requested};
use crate::run::{DataOwnerRun, OwnerRun, Party, RunCore, identity};
use crate::stage::{Side, Stage};
use scaleot_config::{Column, RunConfig};
use scaleot_data::{Subset, TaskSet, TextOptions, TextWindows, Tokenizer};
use scaleot_model::Decoder;
use scaleot_store::VerifiedFolder;
use serde_json::{Value, json};
use std::rc::Rc;

/// The model of a column and its tokenizer.
struct Subject {
    decoder: Decoder,
    tokenizer: Rc<Tokenizer>,
}

/// True where a column of the config is a figure of the full model.
pub fn needs_the_model(config: &RunConfig) -> bool {
    config.evaluate.columns.iter().any(|column| Stage::Evaluate(*column).side() == Side::ModelOwner)
}

/// Evaluates the columns of the config on the side that has what they need.
///
/// # Errors
/// A missing stage, or the fault of a data set.
pub fn evaluate(core: &mut RunCore, progress: &mut dyn Progress) -> Result<Vec<ColumnResult>, StageError> {
    if needs_the_model(&core.config) {
        OwnerRun::new(core).evaluate(progress)
    } else {
        DataOwnerRun::new(core, None)?.evaluate(progress)
    }
}

impl OwnerRun<'_> {
    /// Evaluates every column of the config that can be: `full_tuning` runs its training first.
    ///
    /// # Errors
    /// A missing stage, or what is wrong with a data set.
    pub fn evaluate(&mut self, progress: &mut dyn Progress) -> Result<Vec<ColumnResult>, StageError> {
        let columns = self.core.config.evaluate.columns.clone();
        columns.into_iter().map(|column| self.column(column, progress)).collect()
    }

    /// Evaluates one column, unless it is up to date.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn column(&mut self, column: Column, progress: &mut dyn Progress) -> Result<ColumnResult, StageError> {
        let inputs = self.subject_inputs(column)?;
        evaluate_column(self, column, inputs, |run| run.subject(column), progress)
    }

    /// The digests of a column's model.
    fn subject_inputs(&mut self, column: Column) -> Result<Value, StageError> {
        let result = |run: &Self, stage| Ok::<_, StageError>(identity(&run.core.require(stage)?));
        Ok(match column {
            Column::ZeroShot => json!(self.model()?.fingerprint.to_string()),
            Column::Emulator | Column::EmulatorTuned => emulator_inputs(self.core, column)?,
            Column::PlugIn => {
                let (ledger, limit) = (self.ledger()?, self.core.config.plug_in.max_delta_ratio);
                let fingerprint = self.model()?.fingerprint.to_string();
                json!([fingerprint, ledger.layer_of_slot, result(self, Stage::Tune)?, limit])
            }
            Column::FullTuning => json!(result(self, Stage::FullTuning)?),
        })
    }

    fn subject(&mut self, column: Column) -> Result<Subject, StageError> {
        let decoder = match column {
            Column::Emulator | Column::EmulatorTuned => {
                let emulator = Emulator::open(&self.core.path_of(Stage::Bundle), self.core.placement)?;
                return emulator_subject(self.core, &emulator, column);
            }
            Column::PlugIn => self.plugged(&self.core.path_of(Stage::Tune))?.0,
            Column::FullTuning => self.fully_tuned()?,
            Column::ZeroShot => self.model()?.model.decoder.clone(),
        };
        let tokenizer = Rc::new(load_tokenizer(&self.core.config.model.path, decoder.config.vocabulary)?);
        Ok(Subject { decoder, tokenizer })
    }
}

impl DataOwnerRun<'_> {
    /// Evaluates the columns of the config, which need the emulator alone.
    ///
    /// # Errors
    /// A missing return, a column that needs the model, or the fault of a data set.
    pub fn evaluate(&mut self, progress: &mut dyn Progress) -> Result<Vec<ColumnResult>, StageError> {
        let columns = self.core.config.evaluate.columns.clone();
        columns.into_iter().map(|column| self.column(column, progress)).collect()
    }

    fn column(&mut self, column: Column, progress: &mut dyn Progress) -> Result<ColumnResult, StageError> {
        let stage = Stage::Evaluate(column);
        if stage.side() != Side::Either {
            return Err(StageError::InvalidValue {
                subject: stage.label().into(),
                what: "the model of the column".into(),
                found: "an emulator alone".into(),
                expected: "the full model, which only its owner has".into(),
            });
        }
        let inputs = emulator_inputs(self.core, column)?;
        evaluate_column(self, column, inputs, |run| emulator_subject(run.core, &run.emulator, column), progress)
    }
}

/// Evaluates a column of either party, unless it is up to date.
fn evaluate_column<P: Party>(
    party: &mut P,
    column: Column,
    subject_inputs: Value,
    subject: impl FnOnce(&mut P) -> Result<Subject, StageError>,
    progress: &mut dyn Progress,
) -> Result<ColumnResult, StageError> {
    let (stage, core) = (Stage::Evaluate(column), party.core_mut());
    let inputs = core.inputs(stage, json!([subject_inputs, core.evaluation_inputs()?]));
    if let Some(done) = core.up_to_date(stage, &inputs, progress)? {
        return Ok(done.body()?);
    }
    party.measure(stage, |party| {
        let subject = subject(party)?;
        let core = party.core_mut();
        let tasks = score_tasks(core, &subject, column, progress)?;
        let text = score_texts(core, &subject, column, progress)?;
        write_column(core, column, inputs, &tasks, text.as_ref())
    })
}

/// The digests of this run's bundle, and of its return where the column has it.
fn emulator_inputs(core: &RunCore, column: Column) -> Result<Value, StageError> {
    let bundle = identity(&core.require(Stage::Bundle)?);
    if column == Column::Emulator {
        return Ok(json!(bundle));
    }
    Ok(json!([bundle, identity(&core.require(Stage::Tune)?)]))
}

/// The emulator as it was shipped, or with this run's return in it.
fn emulator_subject(core: &RunCore, emulator: &Emulator, column: Column) -> Result<Subject, StageError> {
    let mut decoder = emulator.decoder().clone();
    if column == Column::EmulatorTuned {
        let verified = delta::verify(&core.path_of(Stage::Tune), emulator, f64::INFINITY)?;
        delta::plug_in(&mut decoder, &verified, &|slot| Some(slot))?;
    }
    Ok(Subject { decoder, tokenizer: Rc::clone(emulator.tokenizer()) })
}

fn score_tasks(
    core: &RunCore,
    subject: &Subject,
    column: Column,
    progress: &mut dyn Progress,
) -> Result<Vec<ChoiceScores>, StageError> {
    let Subject { decoder, tokenizer } = subject;
    let known = TaskSet::with_folder(&core.config.data.folder)?;
    let config = &core.config.evaluate;
    let limits = Limits { max_tokens: decoder.config.context, batch_tokens: config.batch_tokens.get() as usize };
    let which = config.limit.map_or(Subset::All, |count| Subset::First(count.get() as usize));
    let mut scored = Vec::new();
    for name in core.evaluated_tasks() {
        let task = known.get(name)?;
        let source = QuestionSource { tasks: &core.config.data.folder, split: config.split, subset: which };
        let set = ChoiceSet::read(task, source, tokenizer, limits)?;
        progress.begin(&format!("evaluate {} on {name}", column.key()), set.len() as u64);
        let mut stopped = false;
        let scores = set.score(decoder, &mut |done, _| {
            progress.at(done as u64, "questions");
            stopped |= stop_requested();
        })?;
        if stopped {
            return Err(StageError::Stopped { stage: Stage::Evaluate(column).verb() });
        }
        progress.end("");
        scored.push(scores);
    }
    Ok(scored)
}

fn score_texts(
    core: &RunCore,
    subject: &Subject,
    column: Column,
    progress: &mut dyn Progress,
) -> Result<Option<TextScores>, StageError> {
    let Subject { decoder, tokenizer } = subject;
    let config = &core.config.evaluate;
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
    core: &RunCore,
    column: Column,
    inputs: String,
    tasks: &[ChoiceScores],
    text: Option<&TextScores>,
) -> Result<ColumnResult, StageError> {
    let mut entries: Vec<Entry<'_>> = tasks.iter().map(Entry::Choice).collect();
    entries.extend(text.map(|scores| Entry::Text { name: "text", scores }));
    let report = HarnessReport { config: serde_json::Map::from_iter([("model".into(), json!(column))]), date: None };
    let mut stage = core.dir.stage(Stage::Evaluate(column).folder().name)?;
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
    let _: VerifiedFolder = stage.commit(Stage::Evaluate(column).head(), &result)?;
    Ok(result)
}

fn task_result(scores: &ChoiceScores) -> TaskResult {
    let figures = scores.task.metrics.iter().filter_map(|metric| {
        let estimate = scores.estimate(*metric)?;
        Some((metric.key().to_owned(), Figure::from(estimate)))
    });
    TaskResult { task: scores.task.name.clone(), figures: figures.collect() }
}
