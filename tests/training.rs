//! The owner's training of the chosen emulator, with a plugin whose harmonizers begin as the identity.

use behaviour::bundle_file::{Tensors, read};
use behaviour::{CONFIG, Outcome, identity, identity_of_stages, quick, repository, scaleot, scratch, test_plugin};
use behaviour::{program::command, tree};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const STEPS: [&str; 2] = ["train.steps=12", "train.evaluate_every=4"];
const KEPT_LAYERS: [&str; 2] = ["replace.options.trains=kept_layers", "replace.options.hidden_match=30"];
/// Layers that the plan keeps between the adapters; layers 2 and 3 give way.
const KEPT: [usize; 2] = [4, 5];

fn arguments(name: &str, run: &Path, more: &[&str]) -> Vec<String> {
    let plugin = ["--plugin-path", test_plugin().to_str().unwrap(), "replace.use=test-objectives/harmonizers"];
    let mut arguments = vec![name.to_owned(), CONFIG.to_owned()];
    arguments.extend(quick(run));
    arguments.extend(plugin.iter().chain(more).map(ToString::to_string));
    behaviour::each_key_once(arguments)
}

fn verb(name: &str, run: &Path, more: &[&str]) -> Outcome {
    scaleot(arguments(name, run, more))
}

/// All verbs up to this one.
fn up_to(last: &str, run: &Path, more: &[&str]) {
    let verbs = ["importance", "replace", "train", "compress", "bundle"];
    let end = verbs.iter().position(|name| *name == last).unwrap();
    for name in &verbs[..=end] {
        verb(name, run, more).expect(0);
    }
}

fn curve(run: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(run.join("train/train.json")).unwrap()).unwrap()
}

fn bundle(run: &Path) -> Tensors {
    read(&run.join("bundle/emulator.safetensors"))
}

/// Names in the bundle and the model, slot by slot; with harmonizers every layer has a slot.
fn matrices(layer: usize) -> [(String, String); 2] {
    let of = |role: &str, module: &str| {
        (format!("slots.{layer}.{role}.weight"), format!("model.layers.{layer}.{module}.weight"))
    };
    [of("attention.q", "self_attn.q_proj"), of("mlp.down", "mlp.down_proj")]
}

/// True where the bundle has the model's own values in a layer.
fn is_untouched(bundle: &Tensors, layer: usize) -> bool {
    let model = read(&repository().join("tests/fixtures/ci-model/model.safetensors"));
    let same = matrices(layer).map(|(slot, own)| bundle.by_name[&slot].1 == model.by_name[&own].1);
    assert!(same[0] == same[1], "layer {layer}");
    same[0]
}

#[test]
fn training_of_substitutes_lowers_the_emulators_loss_and_leaves_layers_alone() {
    let folder = scratch();
    let (trained, plain) = (folder.path().join("trained"), folder.path().join("plain"));
    let steps = ["train.steps=40", "train.evaluate_every=10"];
    up_to("bundle", &trained, &steps);
    up_to("bundle", &plain, &[]);
    assert!(!plain.join("train").exists());
    let curve = curve(&trained);
    let losses: Vec<f64> = curve["log"]["validations"].as_array().unwrap().iter().map(loss_of).collect();
    assert_eq!(losses.len(), 4);
    assert!(losses[3] < curve["validation_loss_before"].as_f64().unwrap() - 0.1, "{curve}");
    // Two harmonizers of width 8: 2 d r + d + r.
    assert_eq!(curve["trainable"], 2 * (2 * 64 * 8 + 64 + 8));
    let (trained, plain) = (bundle(&trained), bundle(&plain));
    assert!((0..8).filter(|layer| ![2, 3].contains(layer)).all(|layer| is_untouched(&trained, layer)));
    let up = "slots.2.module.2";
    assert!(plain.by_name[up].1.iter().all(|byte| *byte == 0), "an untrained harmonizer is the identity");
    assert_ne!(trained.by_name[up].1, plain.by_name[up].1);
    assert_eq!(trained.by_name.keys().collect::<Vec<_>>(), plain.by_name.keys().collect::<Vec<_>>());
}

fn loss_of(validation: &Value) -> f64 {
    validation["validation_loss"].as_f64().unwrap()
}

/// The mean of a metric in a column.
fn mean(report: &Value, metric: &str, column: &str) -> f64 {
    let row = report["rows"].as_array().unwrap().iter().find(|row| row["metric"] == metric).unwrap();
    row["figures"][column]["mean"].as_f64().unwrap()
}

#[test]
fn training_of_kept_layers_reaches_the_emulator_and_never_the_owners_model() {
    let folder = scratch();
    let (trained, plain) = (folder.path().join("trained"), folder.path().join("plain"));
    // A tuning step of 1e-30 is lost in fp32, so that the delta is exactly zero.
    let untouched = ["tune.learning_rate=1e-30", "tune.steps=2", "--json"];
    let with = [&KEPT_LAYERS[..], &STEPS, &untouched].concat();
    let report = verb("run", &trained, &with).expect(0).json();
    let without = verb("run", &plain, &untouched).expect(0).json();
    for metric in ["nll", "answer_loss", "acc"] {
        assert_eq!(mean(&report, metric, "plug_in"), mean(&report, metric, "zero_shot"), "{metric}");
        assert_eq!(mean(&report, metric, "zero_shot"), mean(&without, metric, "zero_shot"), "{metric}");
    }
    assert!(mean(&report, "nll", "emulator") < mean(&without, "nll", "emulator") - 0.1);
    let tensors = bundle(&trained);
    for layer in (0..8).filter(|layer| ![2, 3].contains(layer)) {
        assert_eq!(is_untouched(&tensors, layer), !KEPT.contains(&layer), "layer {layer}");
    }
    assert!(tensors.by_name["slots.2.module.2"].1.iter().all(|byte| *byte == 0), "only kept layers train");
    let costs: Value = serde_json::from_slice(&std::fs::read(trained.join("costs.json")).unwrap()).unwrap();
    assert!(costs["train"]["seconds"].as_f64().unwrap() > 0.0, "{costs}");
}

#[test]
fn compression_takes_the_trained_layers() {
    let folder = scratch();
    let compress = ["compress.use=scaleot/selective-rank", "compress.options.rank_ratio=1.0"];
    let more = [&KEPT_LAYERS[..], &STEPS, &compress].concat();
    up_to("bundle", folder.path(), &more);
    let trained = read(&folder.path().join("train/layers.safetensors"));
    let tensors = bundle(folder.path());
    // Of full rank, the compressed weight is the trained one but for rounding.
    let values = |bytes: &[u8]| -> Vec<f32> {
        bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
    };
    for layer in KEPT {
        let name = format!("slots.{layer}.attention.q.weight");
        let (sent, own) = (values(&tensors.by_name[&name].1), values(&trained.by_name[&name].1));
        let difference = sent.iter().zip(&own).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 1e-4, "{name}: {difference}");
        let name = format!("slots.{layer}.mlp.down.weight");
        assert_eq!(tensors.by_name[&name].1, trained.by_name[&name].1, "{name}");
    }
    assert!(!is_untouched_dense(&tensors));
    // Training of substitutes alone leaves compression as it is.
    let substitutes = [&STEPS[..], &compress].concat();
    up_to("compress", folder.path(), &substitutes);
    let again = [&["train.steps=6"][..], &compress].concat();
    verb("train", folder.path(), &again).expect(0);
    assert!(verb("compress", folder.path(), &again).expect(0).stderr.contains("compress: up to date"));
}

fn is_untouched_dense(tensors: &Tensors) -> bool {
    let model = read(&repository().join("tests/fixtures/ci-model/model.safetensors"));
    tensors.by_name["slots.4.mlp.down.weight"].1 == model.by_name["model.layers.4.mlp.down_proj.weight"].1
}

#[test]
fn a_distance_that_is_asked_for_is_kept() {
    let folder = scratch();
    let options = ["replace.options.next_token=0.0", "replace.options.loss_margin=3.0", "replace.options.rank=8"];
    up_to("train", folder.path(), &[&options[..], &STEPS].concat());
    let curve = curve(folder.path());
    // The emulator begins closer than that, so training makes it worse, and the last state is what counts.
    let losses: Vec<f64> = curve["log"]["validations"].as_array().unwrap().iter().map(loss_of).collect();
    assert!(losses[2] > curve["validation_loss_before"].as_f64().unwrap(), "{curve}");
    assert_eq!((&curve["step"], curve["log"]["steps"].as_u64()), (&Value::from(12), Some(12)));
}

#[test]
fn a_training_that_does_harm_is_told() {
    let folder = scratch();
    let steps = ["train.steps=3", "train.learning_rate=1.0", "train.batch_size=1"];
    up_to("replace", folder.path(), &steps);
    let said = verb("train", folder.path(), &steps).expect(0).stderr;
    assert!(said.contains("worse than before the first step; lower train.learning_rate"), "{said}");
    let curve = curve(folder.path());
    let worst = loss_of(&curve["log"]["validations"][0]);
    assert!(worst > curve["validation_loss_before"].as_f64().unwrap(), "{curve}");
}

#[test]
fn a_training_without_anything_to_train_says_what_to_do() {
    let folder = scratch();
    let nothing = ["replace.options.rank=0", "train.steps=5"];
    up_to("replace", folder.path(), &nothing);
    let before = tree(folder.path());
    let said = verb("train", folder.path(), &nothing).expect(2).stderr;
    for part in
        ["train.steps=5", "`train.steps`: found 5, expected no [train]", "test-objectives/harmonizers", "replace.use"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = verb("train", folder.path(), &["train.steps=5", "public_data.text=[]"]).expect(2).stderr;
    assert!(said.contains("`public_data.text`: found no file, expected one or more UTF-8 files"), "{said}");
    assert_eq!(tree(folder.path()), before);
    let said = verb("train", folder.path(), &["replace.options.rank=0"]).expect(0).stdout;
    assert!(said.contains("the config has no [train]: nothing to do"), "{said}");
    // Kept layers are something to train.
    verb("train", folder.path(), &[&nothing[..], &KEPT_LAYERS].concat()).expect(0);
}

#[test]
fn a_later_stage_asks_for_the_training_of_its_own_plan() {
    let folder = scratch();
    up_to("replace", folder.path(), &STEPS);
    for name in ["bundle", "compress"] {
        let compress = if name == "compress" { &["compress.use=scaleot/selective-rank"][..] } else { &[] };
        let said = verb(name, folder.path(), &[&STEPS[..], compress].concat()).expect(2).stderr;
        assert!(said.contains("run `scaleot train` with this config first"), "{said}");
    }
    up_to("bundle", folder.path(), &STEPS);
    assert!(verb("train", folder.path(), &STEPS).expect(0).stderr.contains("train: up to date"));
    // Another plan: what was trained for the old one must not be sent.
    let other = [&STEPS[..], &["replace.count=3"]].concat();
    verb("replace", folder.path(), &other).expect(0);
    assert!(verb("bundle", folder.path(), &other).expect(2).stderr.contains("scaleot train"));
}

const LONG: [&str; 5] = [
    "train.steps=40",
    "train.batch_size=1",
    "train.checkpoint_every=3",
    "train.evaluate_every=20",
    "replace.options.logit_kl=1.0",
];

fn child(run: &Path) -> Child {
    let both = [&LONG[..], &["replace.options.trains=both"]].concat();
    command(arguments("train", run, &both)).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits until a checkpoint of this step or a later one is there.
fn wait_for_checkpoint(run: &Path, step: u64) {
    let began = Instant::now();
    let last = || -> Option<u64> {
        let names = std::fs::read_dir(run).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter_map(|name| name.strip_prefix("train-checkpoint-")?.parse().ok()).max()
    };
    while last().is_none_or(|last| last < step) {
        assert!(began.elapsed() < Duration::from_secs(60), "no checkpoint of step {step}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn stopped_and_killed_training_continues_to_the_same_bytes() {
    let folder = scratch();
    let runs: [PathBuf; 2] = ["whole", "stopped"].map(|name| folder.path().join(name));
    let both = [&LONG[..], &["replace.options.trains=both"]].concat();
    up_to("train", &runs[0], &both);
    let run = &runs[1];
    up_to("replace", run, &both);
    let mut killed = child(run);
    wait_for_checkpoint(run, 6);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!run.join("train").exists());
    let mut stopped = child(run);
    wait_for_checkpoint(run, 18);
    let sent = Command::new("kill").args(["-TERM", &stopped.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(stopped.wait().unwrap().code(), Some(7));
    let said = verb("train", run, &both).expect(0).stderr;
    assert!(said.contains("continuing from the checkpoint at step"), "{said}");
    assert_eq!(identity(&run.join("train")), identity(&runs[0].join("train")));
    assert_eq!(identity_of_stages(run), identity_of_stages(&runs[0]));
    let left = std::fs::read_dir(run).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.contains("checkpoint")).count(), 0);
}
