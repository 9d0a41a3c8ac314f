//! The beginning of a text: an empty context, BOS, and a token across the join.
//!
//! Figures: the same model in Transformers 5.23 with PyTorch in fp32 (`log_softmax` in fp64), and the first two tests' also
//! by lm-evaluation-harness 0.4.13 itself.

use super::{config, evaluated, model, on, own_task};
use behaviour::{copy, repository, scratch};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const BOS: &str = r#"{"bos_token": "\u0001", "eos_token": "\u0003"}"#;

#[track_caller]
fn near(found: &Value, expected: &[f64]) {
    let found: Vec<f64> = found.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    let alike =
        found.len() == expected.len() && found.iter().zip(expected).all(|(one, other)| (one - other).abs() < 2e-4);
    assert!(alike, "found {found:?}, expected {expected:?}");
}

/// The log-likelihoods of the first question of `own`.
#[track_caller]
fn likelihoods(model: &Path, tasks: &Path) -> Value {
    let tasks = tasks.display().to_string();
    evaluated(model, &["--tasks-folder", &tasks, "--task", "own"])["loglikelihoods"][0].clone()
}

/// The tokenizer's post-processor puts the token of id 1 in front.
fn with_template(model: &Path) {
    let path = model.join("tokenizer.json");
    let mut root: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let token = "\u{1}";
    let (first, text) =
        (json!({"SpecialToken": {"id": token, "type_id": 0}}), json!({"Sequence": {"id": "A", "type_id": 0}}));
    root["added_tokens"] = json!([{
        "id": 1, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true
    }]);
    root["post_processor"] = json!({
        "type": "TemplateProcessing", "single": [first, text], "pair": [text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {token: {"id": token, "ids": [1], "tokens": [token]}},
    });
    fs::write(path, root.to_string()).unwrap();
}

#[test]
fn an_empty_context_is_the_same_token_for_both_parties() {
    let line = "{\"context\": \"\", \"choices\": [\"hot\", \"cold\"], \"gold\": 0}\n";
    // config.json names BOS 1 and EOS 2; tokenizer_config.json has the last word.
    let cases =
        [(BOS, [-22.919667, -27.610543]), (r#"{"bos_token": null, "eos_token": "\u0003"}"#, [-26.80159, -28.796565])];
    for (names, expected) in cases {
        let folder = scratch();
        let (model, tasks) = (model(folder.path(), names), folder.path().join("tasks"));
        own_task(&tasks, "own", &line.repeat(2));
        on(&["run"], &config(folder.path(), &model, &tasks), &["-q"]).expect(0);
        near(&likelihoods(&model, &tasks), &expected);
        near(&likelihoods(&folder.path().join("run/bundle"), &tasks), &expected);
    }
}

#[test]
fn bos_is_in_scoring_tuning_and_text_alike() {
    let lines = "{\"context\": \"Q\", \"choices\": [\"hot\", \"cold\"], \"gold\": 0}\n{\"context\": \"Why\", \"choices\": [\"hot\", \"cold\"], \"gold\": 1}\n";
    let asked = r#"{"bos_token": "\u0001", "eos_token": "\u0002", "add_bos_token": true}"#;
    for (names, template) in [(BOS, true), (asked, false)] {
        let folder = scratch();
        let (model, tasks) = (model(folder.path(), names), folder.path().join("tasks"));
        if template {
            with_template(&model);
        }
        own_task(&tasks, "own", lines);
        let config = config(folder.path(), &model, &tasks);
        on(&["run"], &config, &["-q"]).expect(0);
        let bundle = folder.path().join("run/bundle");
        // Without BOS: -19.475028 and -29.29787.
        near(&likelihoods(&model, &tasks), &[-20.022941, -28.479501]);
        near(&likelihoods(&bundle, &tasks), &[-20.022941, -28.479501]);
        // The first step's loss is that of the model as it came. Without BOS: 4.977669.
        let tuned = on(&["tune"], &config, &["-q", "--json"]).expect(0).json();
        near(&json!([tuned["body"]["log"]["validations"][0]["train_loss"]]), &[4.962330]);
        // Two windows of BOS and 63 characters. Without BOS, of 64 characters: 5.613010.
        let text = folder.path().join("text.txt");
        fs::write(&text, "The rain falls on the hill, and the hill stays. ".repeat(8)).unwrap();
        for model in [&model, &bundle] {
            let scored = evaluated(model, &["--text", text.to_str().unwrap(), "--limit", "2"]);
            near(&json!([scored["nll"]]), &[5.572736]);
        }
    }
}

#[test]
fn a_token_across_the_join_is_scored_as_the_harness_does() {
    let folder = scratch();
    let (model, tasks) = (folder.path().join("model"), folder.path().join("tasks"));
    copy(&repository().join("tests/fixtures/ci-model"), &model);
    own_task(&tasks, "own", "{\"context\": \" th\", \"choices\": [\"e cat\", \"at cat\"], \"gold\": 0}\n");
    let file = tasks.join("own.toml");
    let undelimited = fs::read_to_string(&file).unwrap() + "target_delimiter = \"\"\n";
    fs::write(&file, undelimited).unwrap();
    // lm-evaluation-harness 0.4.13: context " th", answer " c" "at", for both choices.
    near(&likelihoods(&model, &tasks), &[-15.25572, -15.25572]);
}

#[test]
fn byte_order_marks_change_nothing() {
    let folder = scratch();
    let marked =
        |path: &Path| fs::write(path, [b"\xef\xbb\xbf".as_slice(), &fs::read(path).unwrap()].concat()).unwrap();
    let (model, tasks, text) = (model(folder.path(), BOS), folder.path().join("tasks"), folder.path().join("text.txt"));
    own_task(&tasks, "own", "{\"context\": \"\", \"choices\": [\"hot\", \"cold\"], \"gold\": 0}\n");
    fs::write(&text, "The rain falls on the hill. ".repeat(9)).unwrap();
    let figures = || {
        let [tasks, text] = [&tasks, &text].map(|path| path.display().to_string());
        let scored = evaluated(&model, &["--tasks-folder", &tasks, "--task", "own", "--text", &text]);
        [scored["loglikelihoods"].clone(), scored["nll"].clone()]
    };
    let plain = figures();
    for path in [
        tasks.join("own.toml"),
        tasks.join("own/test.jsonl"),
        tasks.join("own/validation.jsonl"),
        text.clone(),
        model.join("tokenizer.json"),
        model.join("tokenizer_config.json"),
    ] {
        marked(&path);
    }
    assert_eq!(figures(), plain);
}
