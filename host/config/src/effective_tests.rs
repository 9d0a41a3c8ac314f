//! The effective config: defaults, overrides, the effective config, and the shipped files.

use std::fs;

use super::super::choices::StrategyKind;
use super::super::sections::TrainingLength;
use super::tests::{SMALL, check_override, parse, small};
use super::*;
use proptest::prelude::*;
use scaleot_store::exit_code::{ExitCode, HasExitCode as _};
use scaleot_tensor::Device;
use serde_json::json;

#[test]
fn overrides_win_and_say_where_they_came_from() {
    let config = small(&["runtime.device=cuda:1", "tune.steps = 7", "output=\"runs/a b\"", "replace.ratio=0.5"]);
    assert_eq!(config.runtime.device, Device::Cuda(1));
    assert_eq!(config.tune.length(), TrainingLength::Steps(7.try_into().unwrap()));
    assert_eq!(config.output, Path::new("runs/a b"));
    assert_eq!((config.replace.count, config.replace.ratio.unwrap().get()), (None, 0.5));
    let config = small(&["data.text=[\"a.txt\"]"]);
    assert_eq!((config.data.task, config.data.text.len()), (None, 1));

    check_override("seed", "override `seed`: found no `=`, expected `key.path=value`");
    check_override(
        "=1",
        "override `=1`: found a key that is not made of letters, digits, `_` and `-`, expected `key.path=value`",
    );
    check_override(
        "tune.lr=1",
        "override `tune.lr=1`: key `tune.lr`: unknown; valid are accumulation, batch_size, betas, checkpoint_every, clip_norm, epochs, epsilon, evaluate_every, learning_rate, schedule, seed, steps, warmup_steps, weight_decay",
    );
    check_override(
        "tune.learning_rate=nan",
        "override `tune.learning_rate=nan`: key `tune.learning_rate`: found nan, expected a finite number",
    );
    check_override("tune=1", "override `tune=1`: key `tune`: found 1, expected a table");
    check_override(
        "seed=1 # x",
        "override `seed=1 # x`: key `seed`: found the string \"1 # x\", expected a whole number from 0 to 9223372036854775807",
    );
}

#[test]
fn a_new_strategy_forgets_the_options_of_the_old_one() {
    let text = format!("{SMALL}use = \"scaleot/harmonizer\"\noptions = {{ width = 128, seed = 1 }}");
    let config = parse(&text, &["replace.options.width=64"]).unwrap();
    assert_eq!(config.options_json(StrategyKind::Replace), json!({ "width": 64, "seed": 1 }));
    let config = parse(&text, &["replace.use=offsite-tuning/layer-drop"]).unwrap();
    assert_eq!(config.options_json(StrategyKind::Replace), json!({}));
}

#[test]
fn the_effective_config_loads_to_itself() {
    let config = small(&["compress.use=scaleot/selective-rank", "compress.options.rank_ratio=0.5"]);
    let effective = config.to_toml().unwrap();
    let again = parse(&effective, &[]).unwrap();
    assert_eq!(again.to_toml().unwrap(), effective);
    assert_eq!(again.digest().unwrap(), config.digest().unwrap());
    assert_eq!(config.evaluate.tasks, ["arc_easy"]);
    // How a config is written must not matter.
    let spaced = SMALL.replace(" = ", "  =  ") + "# a comment\n";
    assert_eq!(parse(&spaced, &[]).unwrap().digest().unwrap(), small(&[]).digest().unwrap());
}

#[test]
fn differences_are_listed_by_key() {
    let (old, new) = (small(&[]), small(&["seed=7", "replace.ratio=0.5", "compress.use=a/b"]));
    let listed: Vec<_> = new.differences(&old).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(
        listed,
        [
            "`compress.use` was not set, is the string \"a/b\"",
            "`replace.count` was 2, is not set",
            "`replace.ratio` was not set, is 0.5",
            "`seed` was 42, is 7",
        ]
    );
    assert!(old.differences(&old).unwrap().is_empty());
}

/// Every key of the schema stands in the reference, as a key or in a comment as `# key =`.
#[test]
fn the_reference_names_every_key() {
    fn keys(schema: &Json, names: &mut Vec<String>) {
        for (name, inner) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
            names.push(name.clone());
            keys(inner, names);
        }
        for inner in schema.get("anyOf").and_then(Json::as_array).into_iter().flatten() {
            keys(inner, names);
        }
    }
    let mut names = Vec::new();
    keys(&show::schema(), &mut names);
    assert!(names.len() > 60, "{names:?}");
    let mut lines: Vec<_> = REFERENCE.lines().map(|line| line.trim_start_matches("# ")).collect();
    for name in names {
        let stands = |line: &&str| line.starts_with(&format!("{name} =")) || **line == format!("[{name}]");
        let at = lines.iter().position(stands);
        // Each line serves one key, so a key of two sections must stand twice.
        lines.remove(at.unwrap_or_else(|| panic!("`{name}` stands in no line of configs/reference.toml that is left")));
    }
}

/// With its comments opened where one is needed, the reference is itself a config.
#[test]
fn the_reference_is_a_config() {
    let mut text = REFERENCE.to_owned();
    for key in ["version", "output", "path", "task", "count", "steps"] {
        text = text.replacen(&format!("# {key} ="), &format!("{key} ="), 1);
    }
    let reference = parse(&text, &[]).unwrap();
    let minimal = parse("version = 1\noutput = \"runs/demo\"\n[model]\npath = \".assets/models/smollm2-135m-instruct\"\n[data]\ntask = \"arc_easy\"\n[replace]\ncount = 12\n", &["train.steps=120"]).unwrap();
    assert_eq!(reference.to_toml().unwrap(), minimal.to_toml().unwrap());
}

#[test]
fn every_shipped_config_is_taken() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let files = [folder.clone(), folder.join("methods")].map(|folder| fs::read_dir(folder).unwrap());
    let mut seen = 0;
    // Suites have tests of their own.
    for path in files.into_iter().flatten().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# "), "{} opens with what it is", path.display());
        if path.ends_with("reference.toml") {
            continue;
        }
        let config = RunConfig::load(&path, &[]).unwrap();
        config.validate_against(if path.ends_with("ci.toml") { 8 } else { 30 }).unwrap();
        seen += 1;
    }
    assert!(seen >= 12);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_damage_to_a_config_panics(at in any::<prop::sample::Index>(), insert in "\\PC{0,6}", cut in 0_usize..5) {
        let text: Vec<char> = SMALL.chars().collect();
        let at = at.index(text.len());
        let damaged: String = text[..at].iter().copied().chain(insert.chars()).chain(text.iter().copied().skip(at + cut)).collect();
        match parse(&damaged, &[]) {
            Ok(config) => { prop_assert!(parse(&config.to_toml().unwrap(), &[]).is_ok()); }
            Err(error) => { prop_assert_eq!(error.exit_code(), ExitCode::Usage); }
        }
    }

    #[test]
    fn no_override_panics(text in "[a-z_.]{0,20}=?\\PC{0,20}") {
        if let Err(error) = parse(SMALL, &[&text]) {
            prop_assert_eq!(error.exit_code(), ExitCode::Usage);
        }
    }
}

/// Descriptions are for people: no code, no path of ours, and every key has one.
#[test]
fn every_key_of_the_schema_is_described_in_plain_words() {
    fn walk(at: &str, schema: &Json, told: &mut Vec<String>) {
        let text = schema.get("description").and_then(Json::as_str);
        let text = text.unwrap_or_default();
        let code = ["```", "::", "](", "[`", "use scaleot_plugin_api", "assert", "#["];
        if text.is_empty() || code.iter().any(|word| text.contains(word)) {
            told.push(format!("{at}: {text:?}"));
        }
        for part in ["oneOf", "anyOf"].iter().filter_map(|key| schema.get(*key)?.as_array()).flatten() {
            let own = part.get("description").and_then(Json::as_str).unwrap_or_default();
            told.extend(code.iter().filter(|word| own.contains(**word)).map(|word| format!("{at}: {word} in {own:?}")));
        }
        for (name, inner) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
            walk(&format!("{at}.{name}"), inner, told);
        }
    }
    let mut told = Vec::new();
    walk("config", &schema(), &mut told);
    assert_eq!(told, [""; 0]);
}
