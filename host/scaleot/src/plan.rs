//! `plan`: what a run would keep, send, train and need, and whether anything would refuse it, before anything runs. Reads
//! `config.json`, plugins and data, and no weights.

use super::args::{ConfigArgs, Global};
use super::estimate::{self, Parameters, StageMemory};
use super::failure::{VerbResult, stage};
use super::output::{Output, say, table};
use super::preflight::preflight;
use super::{machine, needs, session};
use scaleot_config::{ConfigNeed, LayerBudget, RunConfig};
use scaleot_data::{DataError, Split, TaskSet};
use scaleot_model::ModelConfig;
use scaleot_pipeline::report::{fitted, size};
use scaleot_pipeline::run::{read_data, read_public_text, registry};
use scaleot_pipeline::stage::Stage;
use scaleot_pipeline::training::train_settings;
use serde::Serialize;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

#[derive(Serialize)]
struct Plan {
    family: String,
    layers: u32,
    adapter_layers: u32,
    replaced_layers: u32,
    kept_layers: u32,
    parameters: Parameters,
    /// Without the modules that replace layers, and before compression, which only plugins know.
    bundle_bytes: u64,
    return_bytes: u64,
    /// Two checkpoints, and a third while it is written.
    checkpoint_bytes: u64,
    /// None where the config has no data to tune on, which is the data owner's.
    training_samples: Option<u64>,
    tuning_steps: Option<u64>,
    /// Per task of `evaluate`.
    questions: Vec<(String, u64)>,
    columns: usize,
    stages: Vec<StageMemory>,
    available_bytes: Option<u64>,
    fits: bool,
    advice: Vec<String>,
    /// Keys without effect.
    notices: Vec<String>,
}

/// Prints the plan of a run.
pub fn plan(args: &ConfigArgs, global: &Global, output: Output) -> VerbResult<()> {
    let config = session::load(args, global)?;
    let has_data = config.data.task.is_some() || !config.data.text.is_empty();
    if has_data {
        config.require(ConfigNeed::Data, needs::PLAN.verb)?;
    }
    let checked = preflight(&config, &mut registry(&config, &global.plugin_path)?, needs::PLAN)?;
    let Some(model) = &checked.model else { return Ok(()) };
    stage(read_data(&config, model))?;
    stage(read_public_text(&config, model))?;
    let notices = checked.notices(&config);
    notices.iter().for_each(|notice| say(&format!("notice: {notice}")));
    let budget = config.validate_against(u32::try_from(model.layers).unwrap_or(u32::MAX))?;
    let plan = Plan { notices, ..stage(make(&config, model, &budget))? };
    output.result(&plan, || page(&plan))
}

fn make(config: &RunConfig, model: &ModelConfig, budget: &LayerBudget) -> Result<Plan, DataError> {
    let parameters = estimate::parameters(model, budget);
    let stages = estimate::memory(config, model, &parameters, budget);
    let training_samples = training_samples(config, model)?;
    let steps =
        |samples: u64| train_settings(&config.tune, samples.div_ceil(config.tune.batch_size.get().into())).steps;
    let available_bytes = machine::available_memory();
    let peak = stages.iter().map(|stage| stage.bytes).max().unwrap_or(0);
    let fits = available_bytes.is_none_or(|available| peak <= available);
    Ok(Plan {
        family: model.family.name.clone(),
        layers: budget.layers,
        adapter_layers: budget.adapter,
        replaced_layers: budget.replaced,
        kept_layers: budget.kept,
        bundle_bytes: (parameters.total - parameters.replaced)
            .saturating_mul(estimate::element_bytes(config.model.dtype)),
        return_bytes: parameters.trained.saturating_mul(4),
        checkpoint_bytes: parameters.trained.saturating_mul(3 * 4 * 4),
        training_samples,
        tuning_steps: training_samples.map(steps),
        notices: Vec::new(),
        questions: questions(config)?,
        columns: config.evaluate.columns.len(),
        parameters,
        advice: if fits { Vec::new() } else { advice(config, &stages) },
        stages,
        available_bytes,
        fits,
    })
}

/// Questions of the training split, or blocks of the text files (a token is about four bytes of text).
fn training_samples(config: &RunConfig, model: &ModelConfig) -> Result<Option<u64>, DataError> {
    if config.data.task.is_none() && config.data.text.is_empty() {
        return Ok(None);
    }
    let limit = config.data.train_limit.map_or(u64::MAX, |limit| limit.get().into());
    let Some(task) = &config.data.task else {
        let bytes: u64 = config.data.text.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|f| f.len()).sum();
        let block = u64::from(config.data.block_length).min(model.context as u64);
        return Ok(Some(bytes / 4 / block.max(1)));
    };
    let tasks = TaskSet::with_folder(&config.data.folder)?;
    Ok(Some(lines(&tasks.get(task)?.file(&config.data.folder, Split::Train)?)?.min(limit)))
}

fn questions(config: &RunConfig) -> Result<Vec<(String, u64)>, DataError> {
    let tasks = TaskSet::with_folder(&config.data.folder)?;
    let split = config.evaluate.split;
    let limit = config.evaluate.limit.map_or(u64::MAX, |limit| limit.get().into());
    let count = |name: &String| {
        let file = tasks.get(name)?.file(&config.data.folder, split)?;
        Ok((name.clone(), lines(&file)?.min(limit)))
    };
    config.evaluate.tasks.iter().map(count).collect()
}

/// Lines of a file that are not blank.
fn lines(path: &Path) -> Result<u64, DataError> {
    let failed = |source| DataError::Read { file: path.to_owned(), source };
    let mut reader = BufReader::new(std::fs::File::open(path).map_err(failed)?);
    let (mut count, mut line) = (0, Vec::new());
    while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        count += u64::from(!line.trim_ascii().is_empty());
        line.clear();
    }
    Ok(count)
}

/// The cheapest ways to need less, for the stage that needs most.
fn advice(config: &RunConfig, stages: &[StageMemory]) -> Vec<String> {
    let Some(worst) = stages.iter().max_by_key(|stage| stage.bytes) else { return Vec::new() };
    let (section, training) = match (worst.stage, &config.train) {
        (Stage::FullTuning, _) => (Stage::FullTuning.label(), &config.full_tuning),
        (Stage::Train, Some(train)) => (Stage::Train.label(), train),
        _ => (Stage::Tune.label(), &config.tune),
    };
    let largest = worst.terms.iter().max_by_key(|(_, bytes)| *bytes).map_or("", |(name, _)| *name);
    let mut advice = Vec::new();
    match largest {
        "activations" | "logits" => {
            advice.push(format!("{section}.batch_size={}", (training.batch_size.get() / 2).max(1)));
            advice.push(format!("{section}.accumulation={}", training.accumulation.get().saturating_mul(2)));
        }
        "parameter, gradient, moments, best" => {
            advice.push(format!("adapter.layers={}", (config.adapter.layers / 2).max(2)));
        }
        _ => advice.push("model.dtype=\"bf16\"".to_owned()),
    }
    if worst.stage == Stage::FullTuning {
        advice.push("evaluate.columns without full_tuning".to_owned());
    }
    advice
}

fn page(plan: &Plan) -> String {
    let millions = |count: u64| format!("{:.2} M", count as f64 / 1e6);
    let parameters = &plan.parameters;
    let mut layers = table(&["", "layers", "parameters"]);
    layers.add_row(["model".to_owned(), plan.layers.to_string(), millions(parameters.total)]);
    layers.add_row(["trained".to_owned(), plan.adapter_layers.to_string(), millions(parameters.trained)]);
    layers.add_row(["kept".to_owned(), plan.kept_layers.to_string(), millions(parameters.kept)]);
    layers.add_row(["replaced".to_owned(), plan.replaced_layers.to_string(), millions(parameters.replaced)]);
    layers.add_row(["embedding, norm, head".to_owned(), "-".to_owned(), millions(parameters.shared)]);
    let mut memory = table(&["stage", "peak memory", "made of"]);
    for stage in &plan.stages {
        let terms: Vec<String> = stage.terms.iter().map(|(name, bytes)| format!("{name} {}", size(*bytes))).collect();
        memory.add_row([stage.stage.verb().to_owned(), size(stage.bytes), terms.join(" + ")]);
    }
    let (layers, memory) = (fitted(&mut layers), fitted(&mut memory));
    format!("{} model\n{layers}\n{memory}\n{}", plan.family, facts(plan).join("\n"))
}

fn facts(plan: &Plan) -> Vec<String> {
    let questions: Vec<String> = plan.questions.iter().map(|(task, count)| format!("{task} {count}")).collect();
    let mut facts = vec![
        format!("bundle {} before compression, without modules in place of layers", size(plan.bundle_bytes)),
        format!("return at most {}, checkpoints {}", size(plan.return_bytes), size(plan.checkpoint_bytes)),
        match (plan.tuning_steps, plan.training_samples) {
            (Some(steps), Some(samples)) => format!("{steps} tuning steps on {samples} samples"),
            _ => "tuning: data.task and data.text are left out; the data owner has them".to_owned(),
        },
        format!("questions: {}, for each of {} columns", questions.join(", "), plan.columns),
    ];
    let available = plan.available_bytes.map_or_else(|| "an unknown amount".to_owned(), size);
    facts.push(match plan.fits {
        true => format!("fits: {available} of memory is available"),
        false => format!("does not fit: {available} of memory is available; try {}", plan.advice.join(" or ")),
    });
    facts
}
