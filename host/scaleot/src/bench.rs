//! `bench tune` and `bench compress`: steps of adapter tuning, or compression of the kept layers, on a clock; the work of
//! `benches/peer/tune.py` and `benches/peer/svd.py`, with their keys.
//!
//! Tuning: batches in file order, loss on the answer alone, every step at the config's rate; no validation, no checkpoint.

use super::args::{BenchTuneArgs, BenchVerb, Global};
use super::clock;
use super::failure::VerbResult;
use super::needs;
use super::output::Output;
use super::session::{self, Session};
use scaleot_config::RunConfig;
use scaleot_data::{Batches, PairOptions, PairSet, Split, Subset, TaskSet, TrainingBatch, subset};
use scaleot_model::Decoder;
use scaleot_pipeline::artefacts::{Emulator, Ledger, Parameter};
use scaleot_pipeline::error::StageError;
use scaleot_pipeline::progress::{Progress as _, stop_requested};
use scaleot_pipeline::run::{OwnerRun, peak_bytes};
use scaleot_pipeline::run_stage;
use scaleot_pipeline::stage::Stage;
use scaleot_pipeline::training::{Trainer, attach, train_settings};
use scaleot_tensor::threads;
use serde_json::{Value, json};
use std::time::Instant;

/// Runs a benchmark.
pub fn bench(verb: &BenchVerb, global: &Global, output: Output) -> VerbResult<()> {
    let (BenchVerb::Tune(BenchTuneArgs { run, .. }) | BenchVerb::Compress(run)) = verb;
    let mut session = Session::open(session::load(run, global)?, global, needs::bench(verb))?;
    let record = session.work(|session| match verb {
        BenchVerb::Tune(args) => tune(session, args),
        BenchVerb::Compress(_) => compress(session),
    })?;
    output.result(&record, || serde_json::to_string_pretty(&record).unwrap_or_default())
}

/// The stages of the run up to `last`, where they are not done yet.
fn prepare(owner: &mut OwnerRun<'_>, last: Stage, bars: &mut super::progress::Bars) -> Result<(), StageError> {
    for stage in last.upstream(&owner.core().config).into_iter().chain([last]) {
        run_stage(owner, stage, bars)?;
    }
    Ok(())
}

/// The stage runs first, untimed, so that its files can be compared with the peer's; then the same work again on the clock.
fn compress(session: &mut Session) -> Result<Value, StageError> {
    let Session { run, bars, .. } = session;
    let mut owner = OwnerRun::new(run);
    prepare(&mut owner, Stage::Compress, bars)?;
    let (mut layers, mut matrices, began) = (Vec::new(), 0, Instant::now());
    owner.each_compressed_layer(bars, &mut |layer, compressed| {
        layers.push(layer);
        matrices += compressed.changed.len();
        Ok(())
    })?;
    run.placement().device.synchronize();
    let seconds = began.elapsed().as_secs_f64();
    Ok(json!({
        "what": "svd",
        "layers": layers,
        "matrices": matrices,
        "threads": threads(),
        "seconds": seconds,
        "matrices_per_s": matrices as f64 / seconds,
        "peak_rss_mb": peak_bytes() as f64 / 1_048_576.0,
    }))
}

/// Samples one after another, without a shuffle.
struct FileOrder {
    pairs: PairSet,
    batch: usize,
}

impl Batches for FileOrder {
    fn batch(&self, step: u64) -> TrainingBatch {
        let batches = self.batches_per_epoch().max(1);
        let first = usize::try_from(step % batches).unwrap_or(0).saturating_mul(self.batch);
        self.pairs.pairs(first..first.saturating_add(self.batch).min(self.pairs.len()))
    }

    fn batches_per_epoch(&self) -> u64 {
        (self.pairs.len() / self.batch) as u64
    }
}

fn tune(session: &mut Session, args: &BenchTuneArgs) -> Result<Value, StageError> {
    let Session { run, bars, .. } = session;
    // The emulator is made where it is not there yet; that time does not count.
    prepare(&mut OwnerRun::new(run), Stage::Bundle, bars)?;
    let bundle = run.require(Stage::Bundle)?;
    let layers = match run.completed(Stage::Bundle.record())? {
        Some(folder) => Ledger::read(&folder)?.layer_of_slot,
        None => Vec::new(),
    };
    let emulator = Emulator::open(bundle.path(), run.placement())?;
    let order = file_order(&run.config, &emulator, args.steps.saturating_add(args.warmup))?;
    let mut decoder = emulator.decoder().clone();
    let mut parameters: Vec<Parameter> = Vec::new();
    for (slot, module) in emulator.description().adapters() {
        parameters.append(&mut attach(&mut decoder, slot, module, run.config.seed)?);
    }
    let timed = steps(&decoder, &parameters, &order, &run.config, args, bars)?;
    let trained: usize = parameters.iter().map(|parameter| parameter.tensor.numel()).sum();
    Ok(record(&run.config, args, &layers, trained, &timed))
}

fn file_order(config: &RunConfig, emulator: &Emulator, steps: u64) -> Result<FileOrder, StageError> {
    let tasks = TaskSet::with_folder(&config.data.folder)?;
    let name = config.data.task.clone().unwrap_or_default();
    let task = tasks.get(&name)?;
    let batch = config.tune.batch_size.get() as usize;
    let count = usize::try_from(steps).unwrap_or(usize::MAX).saturating_mul(batch);
    let questions = subset(task.questions(&config.data.folder, Split::Train)?, Subset::First(count));
    let max_tokens = emulator.decoder().config.context;
    let options = PairOptions { batch_size: batch, seed: config.seed, group_by_length: false, max_tokens };
    Ok(FileOrder { pairs: PairSet::new(&name, &questions, emulator.tokenizer(), options)?, batch })
}

/// Losses and times of the steps.
struct Timed {
    losses: Vec<f64>,
    /// Sequences and tokens of the timed steps.
    work: (usize, usize),
    seconds: f64,
    first: f64,
}

fn steps(
    decoder: &Decoder,
    parameters: &[Parameter],
    order: &FileOrder,
    config: &RunConfig,
    args: &BenchTuneArgs,
    bars: &mut super::progress::Bars,
) -> Result<Timed, StageError> {
    let all = args.steps.saturating_add(args.warmup);
    let mut settings = train_settings(&config.tune, order.batches_per_epoch());
    settings.steps = all;
    let leaves = parameters.iter().map(|parameter| parameter.tensor.clone()).collect();
    let mut trainer = Trainer::new(decoder, leaves, settings)?;
    let mut timed = Timed { losses: Vec::new(), work: (0, 0), seconds: 0.0, first: 0.0 };
    let mut began = Instant::now();
    bars.begin("bench tune", all);
    for step in 0..all {
        if stop_requested() {
            return Err(StageError::Interrupted { stage: "bench tune", step });
        }
        if step == args.warmup {
            began = Instant::now();
        }
        timed.losses.push(trainer.gradient_step(order)?.loss);
        if step == 0 {
            timed.first = clock::since_process_start();
        }
        bars.at(step + 1, "");
    }
    decoder.device().synchronize();
    timed.seconds = began.elapsed().as_secs_f64();
    bars.end("");
    for step in args.warmup..all {
        let batch = order.batch(step).batch;
        // The peer counts whole sequences; ours end before the last token, which is only a target.
        timed.work = (timed.work.0 + batch.sequences.len(), timed.work.1 + batch.tokens() + batch.sequences.len());
    }
    Ok(timed)
}

fn record(config: &RunConfig, args: &BenchTuneArgs, layers: &[usize], trained: usize, timed: &Timed) -> Value {
    json!({
        "what": Stage::Tune.label(),
        "task": config.data.task,
        "split": Split::Train.name(),
        "steps": timed.losses.len(),
        "timed_steps": args.steps,
        "batch": config.tune.batch_size,
        "threads": threads(),
        "layers": layers,
        "trained_parameters": trained,
        "learning_rate": config.tune.learning_rate,
        "weight_decay": config.tune.weight_decay,
        "seconds": timed.seconds,
        "examples_per_s": timed.work.0 as f64 / timed.seconds,
        "tokens_per_s": timed.work.1 as f64 / timed.seconds,
        "first_step_s": timed.first,
        "total_s": clock::since_process_start(),
        "peak_rss_mb": peak_bytes() as f64 / 1_048_576.0,
        "losses": timed.losses,
    })
}
