//! One round of ScaleOT's stage 1 against one forward pass of the full model on the same batch: a gradient step on the
//! harmonizers of a half-replaced mixture, then three candidates on a held-out batch.
//!
//! On SmolLM2-135M where `make setup-model` has put it, else on the 8-layer test model. Prints the ratio of medians over
//! interleaved rounds: the cost of a round in full-depth forward passes, judged on as many windows as it trains on, and on half.

use criterion::{Criterion, criterion_group, criterion_main};
use scaleot_data::{TextOptions, TextWindows};
use scaleot_model::Model;
use scaleot_pipeline::mixture::{Mixture, PublicText};
use scaleot_plugin_api::{LayerMask, Module, Substitute, TrainStep};
use scaleot_tensor::{Device, Dtype, NormalStream, Tensor, set_threads};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const RANK: i64 = 64;
const ROUNDS: usize = 9;

fn model() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let real = root.join(".assets/models/smollm2-135m-instruct");
    if real.exists() { real } else { root.join("tests/fixtures/ci-model") }
}

fn harmonizer(layer: u64, width: i64) -> Substitute<Tensor> {
    let zeros = |shape: &[i64]| Tensor::zeros(shape, Dtype::F32, Device::Cpu).expect("zeros");
    let down = NormalStream::new(layer, 0).tensor(&[RANK, width], 0.05).expect("down");
    Substitute::trainable(Module::harmonizer(down, zeros(&[RANK]), zeros(&[width, RANK]), zeros(&[width])))
}

/// Two of every four layers, in groups of a fresh shuffle.
fn half_mask(n_layers: usize, draw: u64) -> LayerMask {
    let mut stream = NormalStream::new(draw, 1);
    let mut order: Vec<(f32, usize)> = (0..n_layers).map(|layer| (stream.sample(), layer)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let replaced: Vec<usize> =
        order.chunks(4).flat_map(|group| group.iter().take(2)).map(|(_, layer)| *layer).collect();
    LayerMask::all_original(n_layers).with_replaced(&replaced)
}

fn train(mixture: &mut Mixture, n_layers: usize, draw: u64) {
    let step = TrainStep::new(half_mask(n_layers, 4 * draw), 1e-5);
    mixture.train_step(&step, None).expect("step");
}

fn score(mixture: &mut Mixture, n_layers: usize, draw: u64) {
    let candidates: Vec<LayerMask> = (1..4).map(|candidate| half_mask(n_layers, 4 * draw + candidate)).collect();
    mixture.losses(&candidates).expect("losses");
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// A mixture of the model in `folder` that trains on two windows of 256 tokens and is judged on `held_out` of them.
fn mixture(folder: &Path, held_out: usize) -> (Mixture, usize) {
    let decoder = Model::load(folder, Device::Cpu, Dtype::F32).expect("model").decoder;
    let (n_layers, width) = (decoder.slots.len(), decoder.config.hidden as i64);
    let text: Vec<u32> = (0..20_480u32).map(|at| (at * 7919) % 400).collect();
    let windows = |batch_size| {
        let options = TextOptions { block_length: 256, batch_size, seed: 1 };
        TextWindows::from_tokens("tokens", text.clone(), options).expect("windows")
    };
    let substitutes = (0..n_layers as u64).map(|layer| harmonizer(layer, width)).collect();
    let text = PublicText { train: windows(2), held_out: windows(held_out) };
    (Mixture::new(decoder, substitutes, text).expect("mixture"), n_layers)
}

fn stage_one(c: &mut Criterion) {
    set_threads(std::env::var("THREADS").ok().and_then(|threads| threads.parse().ok()).unwrap_or(1));
    let folder = model();
    let ((mut mixture, n_layers), (mut on_one, _)) = (mixture(&folder, 2), mixture(&folder, 1));
    let full = [LayerMask::all_original(n_layers)];
    let (mut forwards, mut steps, mut scores, mut scores_on_one) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for draw in 0..ROUNDS as u64 + 1 {
        let times = [
            timed(|| drop(mixture.losses(&full).expect("loss"))),
            timed(|| train(&mut mixture, n_layers, draw)),
            timed(|| score(&mut mixture, n_layers, draw)),
            timed(|| score(&mut on_one, n_layers, draw)),
        ];
        // The first one warms up.
        if draw > 0 {
            let into = [&mut forwards, &mut steps, &mut scores, &mut scores_on_one];
            into.into_iter().zip(times).for_each(|(all, time)| all.push(time));
        }
    }
    let forward = median(forwards);
    let passes = |time: Duration| time.as_secs_f64() / forward.as_secs_f64();
    let (step, three, on_one) = (passes(median(steps)), passes(median(scores)), passes(median(scores_on_one)));
    println!("{}: a full forward pass of 2 x 256 tokens takes {forward:.2?}; in such passes:", folder.display());
    println!("a step {step:.2}, three candidates {three:.2}, a round {:.2}", step + three);
    println!("held_out_batch_size = 1: three candidates {on_one:.2}, a round {:.2}", step + on_one);
    let mut draw = 1000;
    let mut group = c.benchmark_group("stage 1");
    group.sample_size(10);
    group.bench_function("full forward pass, 2 x 256 tokens", |b| b.iter(|| mixture.losses(&full).expect("loss")));
    group.bench_function("round of 1 + 3 mixtures, 2 x 256 tokens", |b| {
        b.iter(|| {
            draw += 1;
            train(&mut mixture, n_layers, draw);
            score(&mut mixture, n_layers, draw);
        });
    });
    group.finish();
}

criterion_group!(benches, stage_one);
criterion_main!(benches);
