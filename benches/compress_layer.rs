//! Selective rank compression of one layer's attention at SmolLM2's widths (576 hidden, 192 key-value), one thread.

use criterion::{Criterion, criterion_group, criterion_main};
use plugin_scaleot as _;
use scaleot_plugin_api::{LayerOutline, StrategyKind, WeightOutline, WeightRole};
use scaleot_plugins::{CompressorHandle, NoQuestions, Registry, SearchPath};
use scaleot_tensor::{NormalStream, Tensor, set_threads};

fn random(rows: i64, cols: i64, seed: u64) -> Tensor {
    NormalStream::new(seed, 0).tensor(&[rows, cols], 0.05).expect("tensor")
}

fn compress(c: &mut Criterion) {
    set_threads(1);
    let shapes = [(576, 576), (192, 576), (192, 576), (576, 576)];
    let weights: Vec<_> = WeightRole::ATTENTION
        .into_iter()
        .zip(shapes)
        .map(|(role, (rows, cols))| (role, random(rows, cols, role as u64)))
        .collect();
    let outlines = WeightRole::ATTENTION
        .into_iter()
        .zip(shapes)
        .map(|(role, (rows, cols))| WeightOutline::new(role, vec![rows as usize, cols as usize], false));
    let outline = LayerOutline::new(0, 576, outlines.collect());
    let mut registry = Registry::new(SearchPath::new([])).expect("built-in plugins");
    let options = serde_json::json!({ "rank_ratio": 0.8 });
    let used = registry.create("scaleot/selective-rank", StrategyKind::Compress, &options).expect("strategy");
    let mut compressor = CompressorHandle::try_from(used).expect("a compressor");
    let mut group = c.benchmark_group("selective rank");
    group.sample_size(10);
    group.bench_function("attention of one layer", |b| {
        b.iter(|| compressor.compress(&outline, &weights, &mut NoQuestions).expect("compressed"));
    });
    group.finish();
}

criterion_group!(benches, compress);
criterion_main!(benches);
