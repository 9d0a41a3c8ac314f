//! One tuning step of the outer layers of the 8-layer test model: forward, backward, clipping, AdamW.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use scaleot_data::{Batches as _, PairOptions, PairSet, Split, TaskSet, Tokenizer};
use scaleot_model::Model;
use scaleot_pipeline::training::{AdamWOptions, Schedule, StepBatches, TrainSettings, Trainer, attach};
use scaleot_plugin_api::{AdapterModule, AdapterPart};
use scaleot_tensor::{Device, Dtype, set_threads};
use std::path::Path;

fn tune_step(c: &mut Criterion) {
    set_threads(1);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let mut decoder = Model::load(&fixtures.join("ci-model"), Device::Cpu, Dtype::F32).expect("model").decoder;
    let tokenizer = Tokenizer::load(&fixtures.join("ci-model/tokenizer.json"), None).expect("tokenizer");
    let tasks = TaskSet::built_in().expect("tasks");
    let questions =
        tasks.get("arc_easy").expect("task").questions(&fixtures.join("tasks"), Split::Train).expect("questions");
    let options = PairOptions { batch_size: 8, seed: 1, group_by_length: true, max_tokens: 512 };
    let pairs = PairSet::new("arc_easy", &questions, &tokenizer, options).expect("pairs");
    let whole = AdapterModule::new(vec![AdapterPart::WholeLayer]);
    let mut parameters = Vec::new();
    for slot in [0, 1, 6, 7] {
        parameters.extend(attach(&mut decoder, slot, &whole, 0).expect("leaves").into_iter().map(|p| p.tensor));
    }
    let settings = TrainSettings {
        learning_rate: 1e-5,
        steps: u64::MAX,
        batches: StepBatches { per_epoch: pairs.batches_per_epoch(), accumulation: 1 },
        adamw: AdamWOptions::default(),
        schedule: Schedule::Constant,
        warmup_steps: 0,
        clip_norm: Some(1.0),
        evaluate_every: u64::MAX,
        checkpoint_every: u64::MAX,
    };
    let mut trainer = Trainer::new(&decoder, parameters, settings).expect("trainer");
    let mut group = c.benchmark_group("tune step");
    group.throughput(Throughput::Elements(8));
    group
        .bench_function("ci-model, 2+4+2 layers, batch 8", |b| b.iter(|| trainer.gradient_step(&pairs).expect("step")));
    group.finish();
}

criterion_group!(benches, tune_step);
criterion_main!(benches);
