//! Scoring: log-probabilities of the choices of packed questions on the 8-layer test model.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use scaleot_data::{Split, Subset, TaskSet, Tokenizer};
use scaleot_model::Model;
use scaleot_pipeline::evaluation::{ChoiceSet, Limits, QuestionSource};
use scaleot_tensor::{Device, Dtype, set_threads};
use std::path::Path;

fn score(c: &mut Criterion) {
    set_threads(1);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let model = Model::load(&fixtures.join("ci-model"), Device::Cpu, Dtype::F32).expect("model");
    let tokenizer = Tokenizer::load(&fixtures.join("ci-model/tokenizer.json"), None).expect("tokenizer");
    let tasks = TaskSet::built_in().expect("tasks");
    let task = tasks.get("arc_easy").expect("task");
    let folder = fixtures.join("tasks");
    let source = QuestionSource { tasks: &folder, split: Split::Validation, subset: Subset::All };
    let limits = Limits { max_tokens: 512, batch_tokens: 512 };
    let set = ChoiceSet::read(task, source, &tokenizer, limits).expect("questions");
    let mut group = c.benchmark_group("score arc_easy");
    group.throughput(Throughput::Elements(set.len() as u64));
    group.bench_function("ci-model", |b| b.iter(|| set.score(&model.decoder, &mut |_, _| {}).expect("scores")));
    group.finish();
}

criterion_group!(benches, score);
criterion_main!(benches);
