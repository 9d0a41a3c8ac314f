//! Loads plugin libraries and calls them against the fake host, over and over: what valgrind looks at (`make valgrind`).
//!
//! Arguments: how many cycles, then the libraries of `tests/plugin`. Each cycle loads every library, reads its record, makes
//! strategies of all kinds, calls them, lets them fail and panic, and drops them. No tensor of a cycle may be left at the host.

use scaleot_plugin_api::export::abi_stable::library::lib_header_from_path;
use scaleot_plugin_api::export::{PluginModule_Ref, RawStrategy};
use scaleot_plugin_api::{
    CompressRequest, HostServices as _, Method, PluginRecord, ReplaceRequest, SelectRequest, StrategyKind,
};
use scaleot_plugin_conformance::FakeHost;
use serde_json::{Value, json};
use std::path::Path;

const LAYERS: usize = 3;
const WIDTH: usize = 4;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let cycles: usize = arguments.next().and_then(|text| text.parse().ok()).expect("a number of cycles");
    let libraries: Vec<String> = arguments.collect();
    assert!(!libraries.is_empty(), "no library is named");
    // What a plugin panics about is told by the fence.
    std::panic::set_hook(Box::new(|_| {}));
    let mut calls = 0;
    for _ in 0..cycles {
        for library in &libraries {
            calls += cycle(Path::new(library));
        }
    }
    println!("{cycles} cycles over {} libraries, {calls} calls", libraries.len());
}

/// One library from the file to the last drop; gives how many calls were made.
fn cycle(library: &Path) -> usize {
    let header = lib_header_from_path(library).expect("a library of ours");
    let module = header.init_root_module::<PluginModule_Ref>().expect("a root module");
    let text = (module.describe())();
    let record: PluginRecord = serde_json::from_str(text.as_str()).expect("a record");
    let mut calls = 0;
    for strategy in record.strategies.iter().filter(|strategy| !strategy.name.starts_with("raw-")) {
        for options in [json!({}), json!({ "fault": "error" }), json!({ "fault": "panic", "at": "save" })] {
            let mut host = FakeHost::toy(LAYERS, WIDTH);
            let options = serde_json::to_vec(&options).expect("JSON");
            let made = (module.create())(strategy.name.as_str().into(), options.as_slice().into()).into_result();
            // A plugin without the option `fault` refuses it: an error is made and dropped, which is as well.
            let Ok(mut made) = made else { continue };
            calls += call_all(&mut made, strategy.kind, &mut host);
            drop(made);
            assert_eq!(host.live_tensors(), 0, "{}: a tensor is left", strategy.name);
        }
    }
    calls
}

fn call_all(strategy: &mut RawStrategy, kind: StrategyKind, host: &mut FakeHost) -> usize {
    let layer = host.outline().layers[1].clone();
    let ask = ReplaceRequest::new(LAYERS, vec![0], 1);
    let scores = scaleot_plugin_api::ImportanceScores::new(vec![1.0; LAYERS]);
    let null = json!(null);
    let questions = match kind {
        StrategyKind::Importance => vec![(Method::Estimate, null)],
        StrategyKind::Replace => vec![
            (Method::Substitute, json!(layer)),
            (Method::Prepare, json!(null)),
            (Method::Objective, json!(null)),
            (Method::Select, json!(SelectRequest::new(scores, ask))),
        ],
        StrategyKind::Compress => vec![(Method::Compress, compress(host))],
        StrategyKind::Adapter => vec![(Method::Attach, json!(layer)), (Method::Step, json!(null))],
    };
    let mut calls = questions.len();
    for (method, question) in questions {
        let answer = strategy.call(method, &serde_json::to_vec(&question).expect("JSON"), host);
        if let (Ok(answer), Method::Substitute | Method::Compress) = (answer, method) {
            // These tensors are the host's from here, as after a real call.
            let answer: Value = serde_json::from_slice(&answer).expect("an answer");
            release(&answer, host);
        }
    }
    if let Ok(state) = strategy.call(Method::Save, &[], host) {
        calls += 2;
        drop(strategy.call(Method::Restore, &state, host));
    }
    calls + 1
}

/// The question of a compressor, with weights that it owns from here.
fn compress(host: &mut FakeHost) -> Value {
    let outline = host.outline().layers[1].clone();
    let mut weights = Vec::new();
    for weight in &outline.weights {
        let shape: Vec<i64> = weight.shape.iter().map(|&size| size as i64).collect();
        let values = vec![0.5; weight.shape.iter().product()];
        weights.push((weight.role, host.tensor_from_f32(&values, &shape).expect("a tensor")));
    }
    json!(CompressRequest::new(outline, weights))
}

/// Releases every handle of an answer: the numbers under the keys that hold tensors.
fn release(answer: &Value, host: &mut FakeHost) {
    match answer {
        Value::Object(map) => {
            for (key, value) in map {
                match value.as_u64() {
                    Some(handle) if ["weight", "bias", "left", "right"].contains(&key.as_str()) => {
                        host.releaser().release(handle);
                    }
                    _ => release(value, host),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| release(item, host)),
        _ => {}
    }
}
