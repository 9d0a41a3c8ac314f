//! The whole flow through the program: every column, every verb, the same bytes twice, and what the figures must satisfy.

use behaviour::{finished_run, identity_of_stages, quick, scaleot, scratch, tree, verb};
use serde_json::Value;
use std::path::Path;

/// The mean of a metric in a column of `run --json` or `report --json`.
#[track_caller]
fn mean(report: &Value, metric: &str, column: &str) -> f64 {
    let rows = report["rows"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["metric"] == metric).unwrap_or_else(|| panic!("no {metric} in {report}"));
    row["figures"][column]["mean"].as_f64().unwrap_or_else(|| panic!("no {column} in {row}"))
}

fn report(run: &Path) -> Value {
    verb("report", run, &["--json"]).expect(0).json()
}

#[test]
fn a_run_prints_a_figure_for_each_of_the_five_columns() {
    let folder = scratch();
    let columns = "evaluate.columns=[\"zero_shot\",\"emulator\",\"emulator_tuned\",\"plug_in\",\"full_tuning\"]";
    let full = ["full_tuning.steps=2", "full_tuning.batch_size=2", "full_tuning.accumulation=1"];
    let more = [&full[..], &[columns, "evaluate.text=[]", "tune.steps=2", "--json"]].concat();
    let outcome = verb("run", folder.path(), &more).expect(0);
    let report = outcome.json();
    for column in ["zero_shot", "emulator", "emulator_tuned", "plug_in", "full_tuning"] {
        for metric in ["acc", "acc_norm", "answer_loss"] {
            assert!(mean(&report, metric, column).is_finite());
        }
    }
    // Two steps on all layers change something.
    assert_ne!(mean(&report, "answer_loss", "full_tuning"), mean(&report, "answer_loss", "zero_shot"));
    let table = verb("report", folder.path(), &more[..more.len() - 1]).expect(0).stdout;
    for head in ["zero-shot", "emulator-tuned", "plug-in", "full-tuning", "gap", "bundle", "time"] {
        assert!(table.contains(head), "{table}");
    }
}

#[test]
fn each_verb_by_itself_gives_what_a_run_gives() {
    let folder = scratch();
    for name in ["importance", "replace", "train", "compress", "bundle", "tune", "plug-in", "evaluate", "report"] {
        verb(name, folder.path(), &["--quiet"]).expect(0);
    }
    let (alone, together) = (identity_of_stages(folder.path()), identity_of_stages(finished_run()));
    assert_eq!(alone, together);
    assert_eq!(alone.len(), 11, "{:?}", alone.keys());
}

#[test]
fn the_same_config_and_seed_give_the_same_bytes_and_another_seed_others() {
    let (again, other) = (scratch(), scratch());
    verb("run", again.path(), &[]).expect(0);
    let (first, second) = (tree(finished_run()), tree(again.path()));
    // Costs are times, and the report repeats them; the config's record holds the output folder.
    let own = |name: &str| matches!(name, "costs.json" | "report.json" | "report.md" | "config.toml");
    let compared = |tree: &std::collections::BTreeMap<String, String>| {
        tree.iter().filter(|(name, _)| !own(name)).map(|(n, d)| (n.clone(), d.clone())).collect::<Vec<_>>()
    };
    assert_eq!(compared(&first), compared(&second));
    assert!(compared(&first).len() > 20, "{:?}", first.keys());
    verb("tune", other.path(), &[]).expect(2);
    for name in ["importance", "replace", "bundle", "tune"] {
        verb(name, other.path(), &["seed=7"]).expect(0);
    }
    let (one, two) = (identity_of_stages(finished_run()), identity_of_stages(other.path()));
    assert_ne!(one["return"], two["return"]);
}

#[test]
fn a_finished_stage_is_left_as_it_is_until_its_inputs_change() {
    let folder = scratch();
    behaviour::copy(finished_run(), folder.path());
    let before = identity_of_stages(folder.path());
    let outcome = verb("run", folder.path(), &[]).expect(0);
    for stage in ["importance", "replace", "bundle", "tune", "plug_in", "evaluate-plug-in"] {
        assert!(outcome.stderr.contains(&format!("{stage}: up to date")), "{stage}: {}", outcome.stderr);
    }
    assert_eq!(identity_of_stages(folder.path()), before);
    let outcome = verb("run", folder.path(), &["tune.steps=3"]).expect(0);
    assert!(outcome.stderr.contains("`tune.steps` was 20, is 3"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("bundle: up to date"), "{}", outcome.stderr);
    let after = identity_of_stages(folder.path());
    let changed: Vec<&String> = before.keys().filter(|stage| before[*stage] != after[*stage]).collect();
    assert_eq!(changed, ["evaluate-emulator-tuned", "evaluate-plug-in", "plug_in", "return", "tuning"]);
}

#[test]
fn a_changed_model_is_noticed() {
    let folder = scratch();
    let model = folder.path().join("model");
    behaviour::copy(&behaviour::repository().join("tests/fixtures/ci-model"), &model);
    let path = format!("model.path={}", model.display());
    let run = folder.path().join("run");
    for name in ["importance", "replace", "bundle", "tune"] {
        verb(name, &run, &[&path]).expect(0);
    }
    // A last byte of one weight: still a model, another one.
    let weights = model.join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let last = bytes.len() - 4;
    bytes[last] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let outcome = verb("plug-in", &run, &[&path]).expect(3);
    assert!(outcome.stderr.contains("the model that the bundle was cut from"), "{}", outcome.stderr);
    assert!(!verb("importance", &run, &[&path]).expect(0).stderr.contains("up to date"));
}

#[test]
fn an_untouched_adapter_plugs_in_as_the_untouched_model() {
    let folder = scratch();
    // A step of 1e-30 is lost in fp32, so that the delta is exactly zero.
    verb("run", folder.path(), &["tune.learning_rate=1e-30"]).expect(0);
    let adapter = behaviour::bundle_file::read(&folder.path().join("return/adapter.safetensors"));
    assert!(adapter.by_name.values().all(|(_, data)| data.iter().all(|byte| byte & 0x7f == 0)));
    for file in ["results.json", "samples_arc_easy.jsonl"] {
        let read = |column: &str| std::fs::read_to_string(folder.path().join(column).join(file)).unwrap();
        let plain = |text: String| text.replace("plug_in", "zero_shot").replace("emulator_tuned", "emulator");
        assert_eq!(plain(read("evaluate-plug-in")), read("evaluate-zero-shot"));
        assert_eq!(plain(read("evaluate-emulator-tuned")), read("evaluate-emulator"));
    }
}

#[test]
fn the_emulator_is_weaker_and_the_plugged_in_model_gains_from_tuning() {
    let report = report(finished_run());
    let loss = |column| mean(&report, "nll", column);
    assert!(loss("emulator") > loss("zero_shot"), "the emulator must lose something");
    assert!(loss("emulator_tuned") < loss("emulator"), "tuning must help the emulator");
    assert!(loss("plug_in") < loss("emulator_tuned"), "plugged in, the adapter must do better");
    let rows = report["rows"].as_array().unwrap();
    let nll = rows.iter().find(|row| row["metric"] == "nll").unwrap();
    let gap = mean(&report, "nll", "emulator_tuned") - mean(&report, "nll", "plug_in");
    assert!((nll["gap"].as_f64().unwrap() - gap).abs() < 1e-12);
}

#[test]
fn a_compressed_run_keeps_its_promises_too() {
    let folder = scratch();
    let compress = ["compress.use=scaleot/selective-rank", "compress.options.rank_ratio=0.5"];
    verb("run", folder.path(), &[&compress[..], &["--quiet"]].concat()).expect(0);
    let report = verb("report", folder.path(), &[&compress[..], &["--json"]].concat()).expect(0).json();
    let loss = |column| mean(&report, "nll", column);
    assert!(loss("emulator") > loss("zero_shot"));
    let size = |run: &Path| std::fs::metadata(run.join("bundle/emulator.safetensors")).unwrap().len();
    assert!(size(folder.path()) < size(finished_run()));
}

#[test]
fn evaluation_of_a_folder_by_itself_agrees_with_the_run() {
    let run = finished_run();
    let tasks = behaviour::repository().join("tests/fixtures/tasks");
    let alone = |folder: &Path, more: &[&str]| {
        let mut arguments: Vec<String> = ["evaluate", "--task", "arc_easy", "--split", "test", "--limit", "4"]
            .into_iter()
            .chain(["--threads", "1", "--json"])
            .map(str::to_owned)
            .collect();
        arguments.extend(
            ["--model", folder.to_str().unwrap(), "--tasks-folder", tasks.to_str().unwrap()].map(str::to_owned),
        );
        arguments.extend(more.iter().map(ToString::to_string));
        scaleot(arguments).expect(0).json()
    };
    let report = report(run);
    let model = alone(&behaviour::repository().join("tests/fixtures/ci-model"), &[]);
    let emulator = alone(&run.join("bundle"), &[]);
    let tuned = alone(&run.join("bundle"), &["--return", run.join("return").to_str().unwrap()]);
    for (alone, column) in [(model, "zero_shot"), (emulator, "emulator"), (tuned, "emulator_tuned")] {
        for metric in ["acc", "acc_norm", "answer_loss"] {
            assert_eq!(alone[metric].as_f64().unwrap(), mean(&report, metric, column), "{metric} of {column}");
        }
        for key in ["questions_per_s", "tokens_per_s", "first_question_s", "load_s", "peak_rss_mb"] {
            assert!(alone[key].as_f64().unwrap() > 0.0, "{key}: {alone}");
        }
        assert_eq!((alone["questions"].as_u64(), alone["loglikelihoods"].as_array().map(Vec::len)), (Some(4), Some(3)));
    }
}

#[test]
fn windows_of_text_have_the_length_that_the_config_says() {
    let folder = scratch();
    let more = ["evaluate.columns=[\"zero_shot\"]", "evaluate.limit=3", "evaluate.block_length=64"];
    verb("evaluate", folder.path(), &more).expect(0);
    let text = std::fs::read(folder.path().join("evaluate-zero-shot/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&text).unwrap();
    // The first token of a window is context only.
    assert_eq!(manifest["body"]["text"]["tokens"], 3 * 63);
    // Longer than the model's context is as long as the context.
    verb("evaluate", folder.path(), &[&more[..2], &["evaluate.block_length=4096"]].concat()).expect(0);
}

#[test]
fn an_exported_model_scores_as_the_plugged_in_one() {
    let folder = scratch();
    let run = folder.path().join("run");
    behaviour::copy(finished_run(), &run);
    let exported = folder.path().join("exported");
    verb("export", &run, &["--to", exported.to_str().unwrap()]).expect(0);
    let model = format!("model.path={}", exported.display());
    let other = folder.path().join("other");
    let columns = ["evaluate.columns=[\"zero_shot\"]", &model, "--json"];
    let report_of_exported = verb("evaluate", &other, &columns).expect(0).json();
    for metric in ["nll", "answer_loss"] {
        let (found, expected) =
            (mean(&report_of_exported, metric, "zero_shot"), mean(&report(&run), metric, "plug_in"));
        assert_eq!(found, expected, "{metric}");
    }
    // A folder that is there already is left alone.
    verb("export", &run, &["--to", exported.to_str().unwrap()]).expect(5);
}

#[test]
fn low_rank_deltas_are_exported_as_peft_names_them_and_nothing_else_is() {
    let folder = scratch();
    let run = folder.path().join("run");
    let lora = ["adapter.use=peft/lora", "adapter.options.rank=2", "adapter.options.alpha=6.0", "evaluate.limit=2"];
    verb("run", &run, &lora).expect(0);
    let to = folder.path().join("adapter");
    let export = ["--what", "peft", "--to", to.to_str().unwrap()];
    verb("export", &run, &[&lora[..], &export[..]].concat()).expect(0);
    let read = |name: &str| std::fs::read(to.join(name)).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&read("adapter_config.json")).unwrap();
    assert_eq!((&config["peft_type"], &config["r"], &config["lora_alpha"]), (&"LORA".into(), &2.into(), &6.0.into()));
    let (targets, bytes) = (config["target_modules"].as_array().unwrap(), read("adapter_model.safetensors"));
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    // Seven projections in each adapter layer, two matrices each.
    assert_eq!((targets.len() % 7, tensors.len()), (0, 2 * targets.len()));
    let (q, mut found) = ("model.layers.0.self_attn.q_proj", Vec::new());
    assert!(targets.contains(&q.into()), "{targets:?}");
    for part in ["lora_A", "lora_B"] {
        let tensor = tensors.tensor(&format!("base_model.model.{q}.{part}.weight")).unwrap();
        found.push(tensor.shape().to_vec());
        assert!(tensor.data().iter().any(|&byte| byte != 0), "{part} is not trained");
    }
    assert_eq!((found[0][0], found[1][1]), (2, 2));
    // Whole layers have no place there.
    let whole = folder.path().join("whole");
    behaviour::copy(finished_run(), &whole);
    let other = folder.path().join("other");
    let refused = verb("export", &whole, &["--what", "peft", "--to", other.to_str().unwrap()]).expect(3);
    assert!(refused.stderr.contains("low-rank deltas alone"), "{}", refused.stderr);
    assert!(!other.exists());
}

#[test]
fn small_adapters_tune_and_plug_in_beside_narrow_weights() {
    let folder = scratch();
    for adapter in ["lora", "bottleneck", "soft-prompt"] {
        let run = folder.path().join(adapter);
        let narrow = [format!("adapter.use=peft/{adapter}"), "model.dtype=bf16".into(), "evaluate.limit=2".into()];
        let narrow: Vec<&str> = narrow.iter().map(String::as_str).collect();
        verb("run", &run, &narrow).expect(0);
        if adapter == "lora" {
            let to = folder.path().join("merged");
            verb("export", &run, &[&narrow[..], &["--what", "plug-in", "--to", to.to_str().unwrap()]].concat())
                .expect(0);
        }
    }
}

#[test]
fn soft_prompts_are_exported_as_peft_names_them() {
    let folder = scratch();
    let run = folder.path().join("run");
    let prompt = ["adapter.use=peft/soft-prompt", "adapter.options.length=3", "evaluate.limit=2"];
    verb("run", &run, &prompt).expect(0);
    let to = folder.path().join("adapter");
    verb("export", &run, &[&prompt[..], &["--what", "peft", "--to", to.to_str().unwrap()]].concat()).expect(0);
    let read = |name: &str| std::fs::read(to.join(name)).unwrap();
    let config: Value = serde_json::from_slice(&read("adapter_config.json")).unwrap();
    // Eight layers, the first of which is an adapter layer.
    assert_eq!(
        (&config["peft_type"], &config["adapter_len"], &config["adapter_layers"]),
        (&"ADAPTION_PROMPT".into(), &3.into(), &8.into())
    );
    let bytes = read("adapter_model.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |layer: usize, part: &str| {
        let name = format!("base_model.model.model.layers.{layer}.self_attn.adaption_{part}");
        tensors.tensor(&name).unwrap()
    };
    assert_eq!((tensors.len(), tensor(0, "prompt").shape().len(), tensor(0, "prompt").shape()[1]), (16, 3, 3));
    let trained = |layer| tensor(layer, "gate").data() != [0; 4];
    assert!(trained(0) && trained(7) && !trained(4), "adapter layers train, a layer between them does nothing");
    let other = folder.path().join("other");
    let refused =
        verb("export", &run, &[&prompt[..], &["--what", "plug-in", "--to", other.to_str().unwrap()]].concat());
    assert!(refused.expect(3).stderr.contains("a soft prompt"));
    assert!(!other.exists());
}

#[test]
fn what_is_planned_is_what_comes_out() {
    let mut arguments = vec!["plan".to_owned(), behaviour::CONFIG.to_owned(), "--json".to_owned()];
    arguments.extend(quick(finished_run()));
    let plan = scaleot(arguments).expect(0).json();
    let weights = std::fs::metadata(finished_run().join("bundle/emulator.safetensors")).unwrap().len();
    let planned = plan["bundle_bytes"].as_u64().unwrap();
    // The header is all that the plan leaves out.
    assert!(planned <= weights && weights < planned + 16384, "{planned} {weights}");
    assert_eq!(plan["tuning_steps"], 20);
    assert_eq!(plan["questions"], serde_json::json!([["arc_easy", 4]]));
    let verified = scaleot(["verify".as_ref(), finished_run().join("return").as_os_str(), "--json".as_ref()]);
    assert_eq!(verified.expect(0).json()["trainable"], plan["parameters"]["trained"]);
    assert_eq!(plan["fits"], true);
}

#[test]
fn the_planned_memory_is_about_what_was_measured() {
    let plan = verb("plan", finished_run(), &["--json"]).expect(0).json();
    let costs: Value = serde_json::from_slice(&std::fs::read(finished_run().join("costs.json")).unwrap()).unwrap();
    let stages = plan["stages"].as_array().unwrap();
    for (planned, measured) in [("importance", "importance"), ("tune", "tune"), ("evaluate", "evaluate-zero-shot")] {
        let stage = stages.iter().find(|stage| stage["stage"] == planned).unwrap();
        let (planned, measured) = (stage["bytes"].as_f64().unwrap(), costs[measured]["peak_bytes"].as_f64().unwrap());
        // The program itself weighs most here, and without optimisation it weighs more than the plan's figure.
        assert!((0.6..1.5).contains(&(planned / measured)), "{stage}: measured {measured}");
        let terms = stage["terms"].as_array().unwrap();
        let sum: f64 = terms.iter().map(|term| term[1].as_f64().unwrap()).sum();
        assert_eq!(sum, planned);
    }
}

#[test]
fn a_benchmark_step_is_a_tuning_step() {
    let folder = scratch();
    let outcome = verb("bench", folder.path(), &[]);
    assert_eq!(outcome.code, Some(2), "bench needs to know what");
    let mut arguments = vec!["bench".to_owned(), "tune".to_owned(), behaviour::CONFIG.to_owned()];
    arguments.extend(quick(folder.path()));
    arguments.extend(["--steps", "3", "--warmup", "1", "--json"].map(str::to_owned));
    let record = scaleot(arguments).expect(0).json();
    assert_eq!(record["layers"], serde_json::json!([0, 1, 2, 5, 6, 7]));
    assert_eq!((record["steps"].as_u64(), record["timed_steps"].as_u64()), (Some(4), Some(3)));
    let losses = record["losses"].as_array().unwrap();
    assert!(losses.len() == 4 && losses.iter().all(|loss| loss.as_f64().unwrap() > 0.0));
    for key in ["examples_per_s", "tokens_per_s", "first_step_s", "peak_rss_mb", "seconds"] {
        assert!(record[key].as_f64().unwrap() > 0.0, "{key}");
    }
}
