//! `evaluate --model`: a model folder or a bundle by itself, in the metrics and words of lm-evaluation-harness.
//!
//! It starts fast: weights stay mapped, nothing is hashed but a bundle. The JSON has the keys of `benches/peer/score.py`.

use super::args::{BareArgs, Global};
use super::failure::{ProgramError, VerbResult, stage};
use super::output::{Output, display_path, table};
use super::progress::Bars;
use super::score::{Scored, Subject, Timing, score_task, score_texts};
use super::{clock, session};
use scaleot_data::{Metric, Task, TaskSet, Tokenizer, check_text};
use scaleot_model::{Decoder, Model};
use scaleot_pipeline::artefacts::Emulator;
use scaleot_pipeline::delta;
use scaleot_pipeline::error::StageError;
use scaleot_pipeline::evaluation::{Entry, Estimate, HarnessReport, TextScores};
use scaleot_pipeline::load::{Placement, load_tokenizer};
use scaleot_pipeline::report::{fitted, size};
use scaleot_pipeline::run::peak_bytes;
use scaleot_pipeline::stage::Stage;
use scaleot_store::Manifest;
use scaleot_tensor::{Device, Dtype, set_threads, threads};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::rc::Rc;

/// Scores a folder on a task, on text, or on both.
pub fn evaluate(args: &BareArgs, global: &Global, output: Output) -> VerbResult<()> {
    let Some(folder) = &args.model else { return Err(ProgramError::Usage("no config and no --model".into()).into()) };
    if args.task.is_none() && args.text.is_empty() {
        return Err(ProgramError::Usage("nothing to score: give --task, --text or both".into()).into());
    }
    // An unknown task or a text that is none must not wait for a model.
    stage(args.text.iter().try_for_each(|file| check_text(file)))?;
    let task = args.task.as_deref().map(|name| find_task(name, &args.tasks_folder)).transpose()?;
    let device = session::device(global)?;
    set_threads(session::threads(global));
    let (decoder, tokenizer) =
        load(folder, args.returned.as_deref(), Placement { device, dtype: dtype(args, device) })?;
    let loaded = clock::since_process_start();
    let subject = Subject { decoder: &decoder, tokenizer: &tokenizer, batch_tokens: args.batch_tokens.max(1) };
    let mut bars = Bars::new(global.quiet);
    let task = match &task {
        Some(task) => Some(score_task(&subject, task, args, &mut bars)?),
        None => None,
    };
    let text = if args.text.is_empty() { None } else { Some(score_texts(&subject, args, &mut bars)?) };
    let value = record(args, task.as_ref(), text.as_ref(), loaded);
    output.result(&value, || page(task.as_ref(), text.as_ref()))
}

/// A built-in task, or one of the user's own from the folder with the questions.
fn find_task(name: &str, folder: &Path) -> VerbResult<Task> {
    let tasks = stage(TaskSet::with_folder(folder))?;
    let task = tasks.get(name).map_err(|error| ProgramError::Usage(format!("--task: {error}")))?;
    Ok(task.clone())
}

fn dtype(args: &BareArgs, device: Device) -> Dtype {
    match (args.dtype, device) {
        (Some(precision), _) => precision.into(),
        (None, Device::Cpu) => Dtype::F32,
        (None, Device::Cuda(_)) => Dtype::BF16,
    }
}

/// A bundle's emulator, with a return in it if one is named; or the model of a folder.
fn load(folder: &Path, returned: Option<&Path>, placement: Placement) -> Result<(Decoder, Rc<Tokenizer>), StageError> {
    if returned.is_none() && Manifest::read(folder, Stage::Bundle.head()).is_err() {
        let decoder = Model::load(folder, placement.device, placement.dtype)?.decoder;
        let tokenizer = Rc::new(load_tokenizer(folder, decoder.config.vocabulary)?);
        return Ok((decoder, tokenizer));
    }
    let emulator = Emulator::open(folder, placement)?;
    let mut tuned = emulator.decoder().clone();
    if let Some(returned) = returned {
        let verified = delta::verify(returned, &emulator, f64::INFINITY)?;
        delta::plug_in(&mut tuned, &verified, &|slot| Some(slot))?;
    }
    Ok((tuned, Rc::clone(emulator.tokenizer())))
}

/// The keys of `score.py`, then ours and the harness's own record under `results`.
fn record(
    args: &BareArgs,
    task: Option<&Scored>,
    text: Option<&(TextScores, Timing)>,
    loaded: f64,
) -> serde_json::Value {
    let mut record = Map::new();
    let mut put = |key: &str, value: Value| record.insert(key.to_owned(), value);
    put("what", json!("score"));
    put("model", json!(args.model.as_deref().map(display_path)));
    put("threads", json!(threads()));
    put("batch", json!(args.batch_tokens));
    put("load_s", json!(loaded));
    if let Some(scored) = task {
        let (scores, timing) = (&scored.scores, &scored.timing);
        put("task", json!(scores.task.name));
        put("split", json!(args.split.name()));
        put("questions", json!(scores.samples.len()));
        put("sequences", json!(scores.samples.iter().map(|sample| sample.log_probs.len()).sum::<usize>()));
        put("tokens", json!(scored.tokens));
        put("seconds", json!(timing.seconds));
        put("questions_per_s", json!(scores.samples.len() as f64 / timing.seconds));
        put("tokens_per_s", json!(scored.tokens as f64 / timing.seconds));
        put("first_question_s", json!(timing.first));
        for metric in [Metric::Acc, Metric::AccNorm, Metric::AnswerLoss] {
            put(metric.key(), json!(scores.estimate(metric).map(|estimate| estimate.mean)));
        }
        let first: Vec<&Vec<f64>> = scores.samples.iter().take(3).map(|sample| &sample.log_probs).collect();
        put("loglikelihoods", json!(first));
    }
    if let Some((scores, timing)) = text {
        put("nll", json!(scores.nll.mean));
        put("perplexity", json!(scores.perplexity()));
        put("text_tokens", json!(scores.tokens));
        put("text_tokens_per_s", json!(scores.tokens as f64 / timing.seconds));
    }
    put("results", HarnessReport::default().results(&entries(task, text)));
    put("total_s", json!(clock::since_process_start()));
    put("peak_rss_mb", json!(peak_bytes() as f64 / 1_048_576.0));
    Value::Object(record)
}

fn entries<'a>(task: Option<&'a Scored>, text: Option<&'a (TextScores, Timing)>) -> Vec<Entry<'a>> {
    let task = task.map(|scored| Entry::Choice(&scored.scores));
    let text = text.map(|(scores, _)| Entry::Text { name: "text", scores });
    task.into_iter().chain(text).collect()
}

/// The harness's table, and what it cost.
fn page(task: Option<&Scored>, text: Option<&(TextScores, Timing)>) -> String {
    let mut table = table(&["Tasks", "Version", "n-shot", "Metric", "", "Value", "", "Stderr"]);
    let mut row = |name: &str, version: f64, metric: &str, arrow: &str, estimate: Estimate| {
        let stderr = estimate.stderr.map_or_else(|| "N/A".to_owned(), |stderr| format!("{stderr:.4}"));
        let (version, value) = (version.to_string(), format!("{:.4}", estimate.mean));
        table.add_row([name, &version, "0", metric, arrow, &value, "±", &stderr]);
    };
    let mut facts = Vec::new();
    if let Some(scored) = task {
        let (task, timing) = (&scored.scores.task, &scored.timing);
        for metric in &task.metrics {
            let arrow = if metric.higher_is_better() { "↑" } else { "↓" };
            if let Some(estimate) = scored.scores.estimate(*metric) {
                row(&task.name, task.version, metric.key(), arrow, estimate);
            }
        }
        let (n, seconds) = (scored.scores.samples.len(), timing.seconds);
        facts.push(format!("{n} questions in {seconds:.2} s: {:.1} a second", n as f64 / seconds));
        facts.push(format!("first batch scored {:.2} s after the start of the process", timing.first));
    }
    if let Some((scores, timing)) = text {
        row("text", 1.0, "nll", "↓", scores.nll);
        row("text", 1.0, "perplexity", "↓", Estimate { mean: scores.perplexity(), stderr: None, n: scores.nll.n });
        facts.push(format!("{} tokens of text in {:.2} s", scores.tokens, timing.seconds));
    }
    facts.push(format!("peak memory {} (mapped weights included)", size(peak_bytes())));
    format!("{}\n\n{}", fitted(&mut table), facts.join("\n"))
}
