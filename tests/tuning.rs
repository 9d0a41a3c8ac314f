//! The results of a tuning: the same step however its targets are cut in batches, whole epochs, small sets, narrow models.

use behaviour::{CONFIG, Outcome, copy, quick, repository, scaleot, scratch, verb};
use safetensors::{SafeTensors, tensor::Dtype};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Tensors of a file as numbers, by name.
fn tensors(path: &Path) -> BTreeMap<String, Vec<f64>> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let numbers =
        |data: &[u8]| data.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap()).into()).collect();
    let each = file.tensors().into_iter().map(|(name, view)| {
        assert_eq!(view.dtype(), Dtype::F32, "{name}");
        (name, numbers(view.data()))
    });
    each.collect()
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

fn manifest(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap()
}

/// The validations of a run's return.
fn validations(run: &Path) -> Vec<Value> {
    manifest(&run.join("return"))["body"]["log"]["validations"].as_array().unwrap().clone()
}

/// `run` on [`CONFIG`] with nothing replaced and nothing evaluated but the emulator.
fn tuned(run: &Path, more: &[&str]) -> Outcome {
    let fixed = ["replace.count=0", "evaluate.text=[]", "evaluate.columns=[\"emulator\"]", "--quiet"];
    verb("run", run, &[&fixed[..], more].concat()).expect(0)
}

/// Four questions whose right answers have 1, 3, 5 and 9 tokens with the tests' tokenizer: 18 targets.
fn four_questions(folder: &Path) {
    let answers = ["the", "the water is", "the water is in the", "the water is in the light of the"];
    let line = |(number, answer): (usize, &&str)| {
        serde_json::json!({ "question": format!("What is {number}?"), "choices": [answer, "it"], "gold": 0 })
            .to_string()
    };
    let lines: Vec<String> = answers.iter().enumerate().map(line).collect();
    std::fs::create_dir_all(folder.join("arc_easy")).unwrap();
    for split in ["train", "validation", "test"] {
        std::fs::write(folder.join("arc_easy").join(format!("{split}.jsonl")), lines.join("\n") + "\n").unwrap();
    }
}

/// The loss per target of the model itself over all 18: PyTorch 2.11 with Transformers 5.23, fp32, the sum of the targets'
/// negative log-softmax over their number. Means of the batches' means are 4.2145 and 4.1287 instead.
const PER_TARGET: f64 = 3.8966;

#[test]
fn accumulation_changes_neither_loss_nor_gradient() {
    let folder = scratch();
    let tasks = folder.path().join("tasks");
    four_questions(&tasks);
    let data = format!("data.folder={}", tasks.display());
    let mut deltas = Vec::new();
    for (batch, accumulation) in [(4, 1), (2, 2), (1, 4)] {
        let run = folder.path().join(format!("{batch}x{accumulation}"));
        let sizes = [format!("tune.batch_size={batch}"), format!("tune.accumulation={accumulation}")];
        let more = [&data, "tune.steps=1", "tune.clip_norm=0", "tune.epsilon=1e3", &sizes[0], &sizes[1]];
        tuned(&run, &more);
        let found = validations(&run)[0]["train_loss"].as_f64().unwrap();
        assert!((found - PER_TARGET).abs() < 1e-4, "{batch} x {accumulation}: {found}");
        // With a divisor of 1e3 the first step of AdamW is the gradient itself, times a constant.
        let delta: Vec<f64> = tensors(&run.join("return/adapter.safetensors")).into_values().flatten().collect();
        deltas.push(delta);
    }
    let whole = norm(deltas[0].iter().copied());
    assert!(whole > 0.0);
    for other in &deltas[1..] {
        let dot: f64 = deltas[0].iter().zip(other).map(|(a, b)| a * b).sum();
        let cosine = dot / whole / norm(other.iter().copied());
        let ratio = norm(other.iter().copied()) / whole;
        assert!(cosine > 0.99999 && (ratio - 1.0).abs() < 1e-3, "cosine {cosine}, ratio {ratio}");
    }
}

/// As Transformers 5: `epochs x ceil(batches / accumulation)` steps; the last of an epoch takes what is left.
#[test]
fn epochs_are_whole() {
    let cases = [(5, 1, 2, 1, 3), (50, 4, 8, 5, 10), (20, 4, 8, 5, 5), (20, 4, 1, 2, 10)];
    for (pairs, batch, accumulation, epochs, steps) in cases {
        let folder = scratch();
        let text = std::fs::read_to_string(repository().join(CONFIG)).unwrap().replace("steps = 20\n", "");
        let config = folder.path().join("epochs.toml");
        std::fs::write(&config, text).unwrap();
        let mut arguments = vec![String::new(), config.display().to_string()];
        arguments.extend(quick(&folder.path().join("run")));
        arguments.push(format!("data.train_limit={pairs}"));
        arguments.push(format!("tune.batch_size={batch}"));
        arguments.push(format!("tune.accumulation={accumulation}"));
        arguments.push(format!("tune.epochs={epochs}"));
        arguments.extend(["evaluate.columns=[\"emulator\"]", "evaluate.text=[]", "--json"].map(str::to_owned));
        arguments[0] = "plan".to_owned();
        let plan = scaleot(&arguments).expect(0).json();
        assert_eq!(plan["tuning_steps"], steps, "{pairs} pairs");
        arguments[0] = "run".to_owned();
        scaleot(&arguments).expect(0);
        // Without `evaluate_every` there is one validation after each epoch.
        let at: Vec<u64> =
            validations(&folder.path().join("run")).iter().map(|one| one["step"].as_u64().unwrap()).collect();
        let per_epoch = steps / epochs;
        assert_eq!(at, (1..=epochs).map(|epoch| epoch * per_epoch).collect::<Vec<u64>>(), "{pairs} pairs");
    }
}

/// A short batch is as good as a whole one: the loss per target does not depend on how it is cut.
#[test]
fn sets_smaller_than_a_batch_are_legal() {
    let folder = scratch();
    // A step of 1e-30 is lost in fp32, so that both validate the same model.
    let same = ["data.validation_limit=3", "data.train_limit=3", "tune.steps=1", "tune.learning_rate=1e-30"];
    let losses = ["tune.batch_size=1", "tune.batch_size=8"].map(|size| {
        let run = folder.path().join(size);
        tuned(&run, &[&same[..], &[size]].concat());
        validations(&run)[0]["validation_loss"].as_f64().unwrap()
    });
    assert!((losses[0] - losses[1]).abs() < 1e-5, "{losses:?}");
}

/// Norms of a delta: of all values, and of norm weights alone.
fn norms(delta: &BTreeMap<String, Vec<f64>>) -> [f64; 2] {
    let of =
        |part: &str| norm(delta.iter().filter(|(name, _)| name.contains(part)).flat_map(|(_, v)| v.iter().copied()));
    [of("slots"), of("norm")]
}

#[track_caller]
fn within_a_hundredth(expected: [f64; 2], found: [f64; 2], what: &str) {
    for (expected, found) in expected.into_iter().zip(found) {
        assert!(expected > 0.0 && (found / expected - 1.0).abs() < 0.01, "{what}: {found}, in fp32 {expected}");
    }
}

#[test]
fn narrow_models_train_as_wide_ones() {
    let folder = scratch();
    for rate in ["1e-5", "1e-3"] {
        let found = ["fp32", "bf16", "fp16"].map(|dtype| {
            let run = folder.path().join(format!("{rate}-{dtype}"));
            let (rate, dtype) = (format!("tune.learning_rate={rate}"), format!("model.dtype={dtype}"));
            tuned(&run, &["tune.schedule=constant", &rate, &dtype]);
            norms(&tensors(&run.join("return/adapter.safetensors")))
        });
        within_a_hundredth(found[0], found[1], &format!("bf16 at {rate}"));
        within_a_hundredth(found[0], found[2], &format!("fp16 at {rate}"));
    }
}

/// Every layer in fp32, from weights that were rounded when the model was read: what full tuning adds is measured from there.
#[test]
fn full_tuning_of_narrow_models_too() {
    let folder = scratch();
    let found = ["fp32", "bf16", "fp16"].map(|dtype| {
        let run = folder.path().join(dtype);
        let dtype = format!("model.dtype={dtype}");
        let steps = |steps: &str, rate: &str| {
            let more = ["full_tuning.batch_size=2", "full_tuning.accumulation=1", "full_tuning.schedule=constant"];
            let (steps, rate) = (format!("full_tuning.steps={steps}"), format!("full_tuning.learning_rate={rate}"));
            verb("full-tuning", &run, &[&more[..], &[&steps, &rate, &dtype, "--quiet"]].concat()).expect(0);
            tensors(&run.join("full_tuning/layers.safetensors"))
        };
        // Where a run begins: a step of 1e-30 changes nothing.
        let (before, after) = (steps("1", "1e-30"), steps("10", "2e-5"));
        let mut delta = after;
        for (name, values) in &mut delta {
            values.iter_mut().zip(&before[name]).for_each(|(after, before)| *after -= before);
        }
        norms(&delta)
    });
    within_a_hundredth(found[0], found[1], "bf16");
    within_a_hundredth(found[0], found[2], "fp16");
}

/// The evaluated emulator has the trained weights themselves: in bf16 a delta of 1e-5 would be gone when it is added there.
#[test]
fn what_is_evaluated_is_what_was_trained() {
    let folder = scratch();
    let (plain, run) = (folder.path().join("plain"), folder.path().join("run"));
    let table = ["evaluate.columns=[\"emulator\", \"emulator_tuned\"]", "evaluate.limit=8", "model.dtype=bf16"];
    let more = [&table[..], &["tune.learning_rate=1e-5", "tune.schedule=constant", "--json"]].concat();
    let report = verb("run", &run, &more).expect(0).json();
    let loss = |report: &Value, column: &str| {
        let rows = report["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["metric"] == "answer_loss").unwrap();
        row["figures"][column]["mean"].as_f64().unwrap()
    };
    assert_ne!(loss(&report, "emulator"), loss(&report, "emulator_tuned"));
    // What goes out as a file is in the model's type, rounded once.
    copy(&run, &plain);
    let model = folder.path().join("model");
    let mut arguments = vec!["export".to_owned(), CONFIG.to_owned()];
    arguments.extend(quick(&plain));
    arguments.extend(["model.dtype=bf16", "--what", "plug-in", "--to"].map(str::to_owned));
    arguments.push(model.display().to_string());
    scaleot(arguments).expect(0);
    let bytes = std::fs::read(model.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert!(file.tensors().iter().all(|(_, view)| view.dtype() == Dtype::BF16));
}
