//! The cost of a call across the plugin boundary: host to plugin, and plugin to host. Goal: under 1 µs, and no tensor copied.
//!
//! The strategy below goes through the same root module, table and fence as a dynamic library's.

use criterion::{Criterion, criterion_group, criterion_main};
use scaleot_plugin_api::{
    Checkpoint, CompressionReport, Compressor, Host, LayerOutline, LayerReplacer, LayerWeights, ModelOutline, Module,
    PluginError, Strategy, StrategyKind, Substitute, WeightRole,
};
use scaleot_plugins::{CompressorHandle, NoQuestions, Registry, ReplacerHandle, SearchPath};
use scaleot_tensor::Tensor;
use std::hint::black_box;
use std::time::{Duration, Instant};

#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Calls {
    /// Calls into the host per call of the plugin.
    calls: u32,
}

struct Caller(u32);

impl Strategy for Caller {
    type Options = Calls;
    fn new(options: Calls) -> Result<Self, PluginError> {
        Ok(Self(options.calls))
    }
}

impl Compressor for Caller {
    /// Asks for a shape `calls` times.
    fn compress(&mut self, layer: &mut LayerWeights, host: &mut Host) -> Result<CompressionReport, PluginError> {
        if let Some(weight) = layer.get(WeightRole::AttentionQ) {
            for _ in 0..self.0 {
                black_box(host.shape(weight)?);
            }
        }
        Ok(CompressionReport::default())
    }
}

struct Nothing;

impl Strategy for Nothing {
    type Options = Calls;
    fn new(_: Calls) -> Result<Self, PluginError> {
        Ok(Self)
    }
}

impl LayerReplacer for Nothing {
    fn substitute(&mut self, _: &LayerOutline, _: &mut Host) -> Result<Substitute, PluginError> {
        Ok(Substitute::frozen(Module::Identity))
    }
}

impl Checkpoint for Nothing {}

scaleot_plugin_api::export_plugin! {
    name: "bench",
    about: "Strategies that do nothing, to time the boundary.",
    built_in,
    strategies: {
        "caller": compress Caller, "Calls the host.";
        "nothing": replace Nothing, "Answers at once.";
    }
}

fn boundary(c: &mut Criterion) {
    let mut registry = Registry::new(SearchPath::new([])).expect("built-in plugins");
    let no_options = serde_json::json!({});
    let used = registry.create("bench/nothing", StrategyKind::Replace, &no_options).expect("replacer");
    let mut replacer = ReplacerHandle::try_from(used).expect("a replacer");
    c.bench_function("host calls plugin", |b| b.iter(|| black_box(replacer.objective().expect("answer"))));

    const CALLS: u32 = 1000;
    let options = serde_json::json!({ "calls": CALLS });
    let used = registry.create("bench/caller", StrategyKind::Compress, &options).expect("compressor");
    let mut compressor = CompressorHandle::try_from(used).expect("a compressor");
    let outline = ModelOutline::toy(1, 1024).layers.remove(0);
    let weight = Tensor::from_f32(&vec![0.5; 1024 * 1024], &[1024, 1024]).expect("tensor");
    let weights = [(WeightRole::AttentionQ, weight)];
    c.bench_function("plugin calls host", |b| {
        // One iteration is one call into the host; the plugin makes a thousand at a time.
        b.iter_custom(|iterations| {
            let rounds = iterations.div_ceil(u64::from(CALLS));
            let start = Instant::now();
            for _ in 0..rounds {
                black_box(compressor.compress(&outline, &weights, &mut NoQuestions).expect("answer"));
            }
            let each = start.elapsed().as_secs_f64() / (rounds * u64::from(CALLS)) as f64;
            Duration::from_secs_f64(each * iterations as f64)
        });
    });
}

criterion_group!(benches, boundary);
criterion_main!(benches);
