//! Configs that are refused, each with its exact message.

use std::fs;

use super::super::choices::StrategyKind;
use super::super::needs::ConfigNeed;
use super::super::sections::TrainingLength;
use super::super::strategy::KnownStrategy;
use super::*;
use scaleot_store::exit_code::{ExitCode, HasExitCode as _};
use serde_json::json;

/// The smallest config that is taken.
pub(crate) const SMALL: &str = r#"version = 1
output = "runs/test"
[model]
path = "models/test"
[data]
task = "arc_easy"
[replace]
count = 2
"#;

pub(crate) fn parse(text: &str, overrides: &[&str]) -> Result<RunConfig, ConfigError> {
    let overrides: Vec<_> = overrides.iter().map(|&text| text.to_owned()).collect();
    RunConfig::parse(Path::new("c.toml"), text, &overrides)
}

pub(crate) fn small(overrides: &[&str]) -> RunConfig {
    parse(SMALL, overrides).unwrap()
}

pub(super) fn refused(result: Result<RunConfig, ConfigError>) -> String {
    let error = result.expect_err("the config must be refused");
    assert_eq!(error.exit_code(), ExitCode::Usage);
    error.to_string()
}

/// The small config with lines added at its end (line 9 on).
fn check(more: &str, expected: &str) {
    assert_eq!(refused(parse(&format!("{SMALL}{more}"), &[])), expected);
}

pub(super) fn check_override(text: &str, expected: &str) {
    assert_eq!(refused(parse(SMALL, &[text])), expected);
}

#[test]
fn n01_an_unknown_key() {
    check("ration = 0.5", "c.toml, line 9: key `replace.ration`: unknown; the nearest valid name is `ratio`");
    check_override(
        "max_delta_ratio=2",
        "override `max_delta_ratio=2`: key `max_delta_ratio`: unknown; it stands in a section: `plug_in.max_delta_ratio`",
    );
    check_override(
        "epochs=2",
        "override `epochs=2`: key `epochs`: unknown; it stands in a section: `full_tuning.epochs`, `train.epochs`, `tune.epochs`",
    );
    check("[tunes]", "c.toml, line 9: key `tunes`: unknown; the nearest valid name is `tune`");
    check("[runtime]\nxyz = 1", "c.toml, line 10: key `runtime.xyz`: unknown; valid are device, threads");
    check(
        "\"a\\u001b[31m\" = 1",
        "c.toml, line 9: key `replace.\"a\\u{1b}[31m\"`: unknown; valid are count, options, ratio, use",
    );
}

#[test]
fn n02_a_key_twice() {
    check("count = 3", "c.toml, lines 8 and 9: key `count`: found twice, expected once");
    check("[model]", "c.toml, lines 3 and 9: key `model`: found twice, expected once");
}

#[test]
fn n03_and_04_numbers_that_are_not_finite_or_out_of_range() {
    for (value, shown) in [("nan", "nan"), ("inf", "inf"), ("-inf", "-inf"), ("1e999", "1e999")] {
        let expected = format!("c.toml, line 10: key `tune.learning_rate`: found {shown}, expected a finite number");
        check(&format!("[tune]\nlearning_rate = {value}"), &expected);
    }
    check(
        "[compress]\nuse = \"a/b\"\noptions = { deep = [{ rank_ratio = nan }] }",
        "c.toml, line 11: key `compress.options.deep[0].rank_ratio`: found nan, expected a finite number",
    );
    for (value, shown) in [("-0.1", "-0.1"), ("1.0000001", "1.0000001"), ("2", "2")] {
        let text = SMALL.replace("count = 2", &format!("ratio = {value}"));
        assert_eq!(
            refused(parse(&text, &[])),
            format!("c.toml, line 8: key `replace.ratio`: found {shown}, expected a number from 0 to 1")
        );
    }
    check(
        "[tune]\nbetas = [0.9, 1.0]",
        "c.toml, line 10: key `tune.betas[1]`: found 1.0, expected a number from 0 to below 1",
    );
    check("[tune]\nbetas = [0.9]", "c.toml, line 10: key `tune.betas`: found a list of 1, expected a list of 2");
    for (section, key, value, expected) in [
        ("tune", "learning_rate", "0", "a number above 0 and at most 1000"),
        ("tune", "learning_rate", "-1e-4", "a number above 0 and at most 1000"),
        ("train", "learning_rate", "1e30", "a number above 0 and at most 1000"),
        ("full_tuning", "weight_decay", "1e30", "a number from 0 to 1000"),
        ("tune", "epsilon", "2000000.0", "a number above 0 and at most 1000000"),
    ] {
        let shown = value.replace("-1e-4", "-0.0001");
        let expected = format!("c.toml, line 10: key `{section}.{key}`: found {shown}, expected {expected}");
        check(&format!("[{section}]\n{key} = {value}"), &expected);
    }
}

fn budget(overrides: &[&str], layers: u32) -> Result<[u32; 3], String> {
    let budget = small(overrides).validate_against(layers).map_err(|error| error.to_string())?;
    Ok([budget.adapter, budget.replaced, budget.kept])
}

#[test]
fn n05_replaced_layers_must_leave_one() {
    assert_eq!(budget(&["replace.count=12"], 30), Ok([4, 12, 14]));
    assert_eq!(budget(&["replace.ratio=0.46"], 30), Ok([4, 12, 14]));
    assert_eq!(budget(&["replace.ratio=0"], 30), Ok([4, 0, 26]));
    assert_eq!(
        budget(&[], 6).unwrap_err(),
        "c.toml, line 8: key `replace.count`: found 2, expected fewer than the model's 2 middle layers, so that one stays"
    );
    assert_eq!(
        budget(&["replace.ratio=0.99"], 30).unwrap_err(),
        "override `replace.ratio=0.99`: key `replace.ratio`: found 0.99, which is 26 of the model's 26 middle layers, expected fewer, so that one stays"
    );
    assert_eq!(
        budget(&["replace.ratio=0.01"], 30).unwrap_err(),
        "override `replace.ratio=0.01`: key `replace.ratio`: found 0.01, which is 0 of the model's 26 middle layers, expected at least one"
    );
}

#[test]
fn n06_adapter_layers() {
    for (value, layers) in [("3", 30), ("0", 30)] {
        assert_eq!(
            refused(parse(&format!("{SMALL}[adapter]\nlayers = {value}"), &[])),
            format!(
                "c.toml, line 10: key `adapter.layers`: found {value}, expected an even whole number of at least 2"
            ),
            "{layers}"
        );
    }
    assert_eq!(
        budget(&["adapter.layers=30"], 30).unwrap_err(),
        "override `adapter.layers=30`: key `adapter.layers`: found 30, expected fewer than the model's 30 layers"
    );
    // A default is nobody's line.
    assert_eq!(
        budget(&[], 4).unwrap_err(),
        "c.toml: key `adapter.layers`: found 4, expected fewer than the model's 4 layers"
    );
}

#[test]
fn n07_a_value_of_another_type() {
    check(
        "[tune]\nlearning_rate = \"1e-4\"",
        "c.toml, line 10: key `tune.learning_rate`: found the string \"1e-4\", expected a number above 0 and at most 1000",
    );
    check(
        "[tune]\nbatch_size = 1.5",
        "c.toml, line 10: key `tune.batch_size`: found 1.5, expected a whole number from 1 to 1048576",
    );
    check("[tune]\nbetas = 0.9", "c.toml, line 10: key `tune.betas`: found 0.9, expected a list of 2");
    check(
        "[tune]\nschedule = \"cosin\"",
        "c.toml, line 10: key `tune.schedule`: found the string \"cosin\", expected one of \"linear\", \"cosine\", \"constant\"; the nearest is \"cosine\"",
    );
    check(
        "[adapter]\nplacement = \"sandwich\"",
        "c.toml, line 10: key `adapter.placement`: found the string \"sandwich\", expected one of \"outer\", \"spread\", \"spread_kept\", \"top_score\"",
    );
    check(
        "[runtime]\ndevice = \"gpu\"",
        "c.toml, line 10: key `runtime.device`: found the string \"gpu\", expected \"cpu\", \"cuda\" or \"cuda:<number>\"",
    );
    check(
        "[importance]\nuse = \"uniform\"",
        "c.toml, line 10: key `importance.use`: found the string \"uniform\", expected \"<plugin>/<strategy>\" in small letters, digits and `-`, such as \"offsite-tuning/layer-drop\"",
    );
    check(
        "[evaluate]\nlimit = 1979-05-27",
        "c.toml, line 10: key `evaluate.limit`: found a date, expected a whole number of at least 1",
    );
    check(
        "[plugins.pins]\na = \"xyz\"",
        "c.toml, line 10: key `plugins.pins.a`: found the string \"xyz\", expected 64 lower-case hexadecimal digits",
    );
    check(
        "[evaluate]\ncolumns = [\"plug_in\", \"plug_in\"]",
        "c.toml, line 10: key `evaluate.columns[1]`: found the string \"plug_in\", expected each item once",
    );
}

#[test]
fn n08_counts() {
    let sizes =
        ["batch_size", "accumulation"].map(|key| ["tune", "train", "full_tuning"].map(|section| (section, key)));
    for (section, key) in sizes.into_iter().flatten().chain([("importance", "batch_size")]) {
        for value in ["0", "-1", "1048577"] {
            let expected = format!(
                "c.toml, line 10: key `{section}.{key}`: found {value}, expected a whole number from 1 to 1048576"
            );
            check(&format!("[{section}]\n{key} = {value}"), &expected);
        }
    }
    for (section, key, value, expected) in [
        ("tune", "steps", "0", "a whole number from 1 to 1000000000000"),
        ("tune", "steps", "1000000000001", "a whole number from 1 to 1000000000000"),
        ("train", "steps", "1000000000001", "a whole number from 1 to 1000000000000"),
        ("tune", "epochs", "0", "a whole number from 1 to 1000000"),
        ("evaluate", "batch_tokens", "0", "a whole number from 1 to 16777216"),
        ("evaluate", "limit", "0", "a whole number of at least 1"),
        ("importance", "checkpoint_every", "0", "a whole number of at least 1"),
    ] {
        let expected = format!("c.toml, line 10: key `{section}.{key}`: found {value}, expected {expected}");
        check(&format!("[{section}]\n{key} = {value}"), &expected);
    }
    check(
        "[tune]\nsteps = 1e18",
        "c.toml, line 10: key `tune.steps`: found 1e18, expected a whole number from 1 to 1000000000000",
    );
    check(
        "[tune]\nsteps = 9223372036854775808",
        "c.toml, line 10: key `tune.steps`: found 9223372036854775808, expected a whole number within -2^63 to 2^63-1",
    );
    check(
        "[tune]\nbatch_size = 4294967296",
        "c.toml, line 10: key `tune.batch_size`: found 4294967296, expected a whole number of at most 4294967295",
    );
}

#[test]
fn n09_a_negative_seed() {
    check_override(
        "seed=-1",
        "override `seed=-1`: key `seed`: found -1, expected a whole number from 0 to 9223372036854775807",
    );
    assert_eq!(small(&["seed=9223372036854775807"]).seed, i64::MAX as u64);
}

fn known() -> Vec<KnownStrategy> {
    let one = |kind, name: &str| KnownStrategy { kind, name: name.to_owned() };
    vec![
        one(StrategyKind::Importance, "offsite-tuning/uniform"),
        one(StrategyKind::Replace, "offsite-tuning/layer-drop"),
        one(StrategyKind::Replace, "scaleot/harmonizer"),
    ]
}

#[test]
fn n10_strategies_that_nobody_offers_or_of_another_kind() {
    assert!(small(&[]).check_strategy(StrategyKind::Replace, &known()).is_ok());
    assert!(small(&[]).check_strategy(StrategyKind::Compress, &known()).is_ok());
    let message = |name: &str| {
        let config = small(&[&format!("replace.use={name}")]);
        config.check_strategy(StrategyKind::Replace, &known()).unwrap_err().to_string()
    };
    assert_eq!(
        message("offsite-tuning/layerdrop"),
        "override `replace.use=offsite-tuning/layerdrop`: key `replace.use`: no plugin offers `offsite-tuning/layerdrop`; the nearest valid name is `offsite-tuning/layer-drop`"
    );
    assert_eq!(
        message("x/y"),
        "override `replace.use=x/y`: key `replace.use`: no plugin offers `x/y`; valid are offsite-tuning/layer-drop, scaleot/harmonizer"
    );
    assert_eq!(
        message("offsite-tuning/uniform"),
        "override `replace.use=offsite-tuning/uniform`: key `replace.use`: `offsite-tuning/uniform` is a strategy of `importance`, expected one of `replace`; valid are offsite-tuning/layer-drop, scaleot/harmonizer"
    );
}

#[test]
fn n11_options_of_a_strategy() {
    let schema = json!({
        "type": "object",
        "properties": { "rank_ratio": { "type": "number", "exclusiveMinimum": 0, "maximum": 1 } },
    });
    let message = |option: &str| {
        let text = format!("{SMALL}[compress]\nuse = \"scaleot/selective-rank\"\noptions = {{ {option} }}");
        let config = parse(&text, &[]).unwrap();
        config.check_strategy_options(StrategyKind::Compress, &schema).map_err(|error| error.to_string())
    };
    assert_eq!(message("rank_ratio = 0.8"), Ok(()));
    assert_eq!(message("rank_ratio = 1"), Ok(()));
    assert_eq!(
        message("rank_ration = 0.8").unwrap_err(),
        "c.toml, line 11: key `compress.options.rank_ration`: unknown; the nearest valid name is `rank_ratio` (an option of `scaleot/selective-rank`)"
    );
    for value in ["-0.1", "0.0", "1.0000001"] {
        assert_eq!(
            message(&format!("rank_ratio = {value}")).unwrap_err(),
            format!(
                "c.toml, line 11: key `compress.options.rank_ratio`: found {value}, expected a number above 0 and at most 1 (an option of `scaleot/selective-rank`)"
            )
        );
    }
    let config = small(&["compress.use=scaleot/selective-rank", "compress.options.rank_ratio=0.5"]);
    assert_eq!(config.options_json(StrategyKind::Compress), json!({ "rank_ratio": 0.5 }));
}

#[test]
fn n12_paths() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.txt");
    fs::write(&file, "x").unwrap();
    let model = |path: &str| {
        let config = small(&[&format!("model.path={path}")]);
        config.require(ConfigNeed::Model, "run").map_err(|error| error.to_string())
    };
    assert_eq!(model(&folder.path().display().to_string()), Ok(()));
    assert_eq!(
        model("absent/model").unwrap_err(),
        "override `model.path=absent/model`: key `model.path`: found `absent/model`, which cannot be read (No such file or directory (os error 2)), expected a folder"
    );
    assert_eq!(
        model("/dev/null").unwrap_err(),
        "override `model.path=/dev/null`: key `model.path`: found `/dev/null`, which is a device, expected a folder"
    );
    let file = file.display();
    assert_eq!(
        model(&file.to_string()).unwrap_err(),
        format!(
            "override `model.path={file}`: key `model.path`: found `{file}`, which is a regular file, expected a folder"
        )
    );
    check(
        "[evaluate]\ntext = [\"a.txt\", \"b/../../c.txt\"]",
        "c.toml, line 10: key `evaluate.text[1]`: found `b/../../c.txt`, which leads out of the current folder; write it as an absolute path",
    );
    let config = small(&["data.text=[\"absent.txt\"]"]);
    assert_eq!(
        config.require(ConfigNeed::Data, "run").unwrap_err().to_string(),
        "override `data.text=[\"absent.txt\"]`: key `data.text[0]`: found `absent.txt`, which cannot be read (No such file or directory (os error 2)), expected a file"
    );
    check_override("output=", "override `output=`: found nothing after the `=`, expected `key.path=value`");
    check_override("tune.steps= ", "override `tune.steps= `: found nothing after the `=`, expected `key.path=value`");
    check_override(
        "output=\"\"",
        "override `output=\"\"`: key `output`: found the string \"\", expected a string that is not empty",
    );
}

#[test]
fn n13_files_that_are_no_config() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    let load = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        refused(RunConfig::load(&path, &[])).replace(&format!("{}/", folder.path().display()), "")
    };
    assert_eq!(load(b""), "c.toml: byte 0: found an empty file, expected plain UTF-8 text");
    let with_mark = [b"\xef\xbb\xbf", SMALL.as_bytes()].concat();
    assert_eq!(load(&with_mark), "c.toml: byte 0: found a byte-order mark, expected plain UTF-8 text");
    let utf16: Vec<u8> = std::iter::once(0xfeff).chain(SMALL.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    assert_eq!(load(&utf16), "c.toml: byte 0: found UTF-16, expected plain UTF-8 text");
    assert_eq!(load(&utf16[2..]), "c.toml: byte 1: found a NUL, expected plain UTF-8 text");
    assert_eq!(
        load(b"version = 1\n\xff"),
        "c.toml: byte 12: found a byte that is not UTF-8, expected plain UTF-8 text"
    );
    assert_eq!(
        load(&b"[a.b.c]\n".repeat(200_000)),
        "c.toml: found 1600000 bytes, expected a config of at most 1048576"
    );
    assert_eq!(
        load(SMALL.replace("runs/test", "a\\u0000b").as_bytes()),
        "c.toml, line 2: key `output`: found text with a NUL, expected text without it"
    );
    assert_eq!(load(b"version = 1\nseed = = 2"), "c.toml, line 2: not valid TOML: extra `=`, expected nothing");
    let deep = format!("a = {}{}", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(
        load(deep.as_bytes()),
        "c.toml, line 1: not valid TOML: cannot recurse further; max recursion depth met"
    );
    let message = refused(RunConfig::load(folder.path(), &[]));
    assert!(message.ends_with(": found a folder, expected a config file"), "{message}");
    assert_eq!(
        refused(RunConfig::load(Path::new("/dev/zero"), &[])),
        "/dev/zero: found a device, expected a config file"
    );
    let message = refused(RunConfig::load(&folder.path().join("absent"), &[]));
    assert!(message.ends_with("absent: cannot be read: No such file or directory (os error 2)"), "{message}");
}

#[test]
fn n14_the_output_lies_in_the_model_folder() {
    for output in ["models/test", "models/test/run", "models/x/../test/run"] {
        assert_eq!(
            refused(parse(&SMALL.replace("runs/test", output), &[])),
            format!(
                "c.toml, line 2: key `output`: found `{output}`, which is or lies in `model.path` (`models/test`); choose a folder outside the model's"
            )
        );
    }
}

#[test]
fn n15_versions() {
    assert_eq!(
        refused(parse("version = 2\nkey_of_the_future = true", &[])),
        "c.toml, line 1: key `version`: found 2; this program reads version 1, so a newer scaleot is needed"
    );
    assert_eq!(
        refused(parse(&SMALL.replace("version = 1", "version = 0"), &[])),
        "c.toml, line 1: key `version`: found 0, expected a whole number from 1 to 1"
    );
    assert_eq!(
        refused(parse(&SMALL.replace("version = 1", ""), &[])),
        "c.toml: key `version`: missing, expected a whole number from 1 to 1: The version of the config's format."
    );
}

#[test]
fn keys_that_are_missing_or_exclude_each_other() {
    check("ratio = 0.5", "c.toml, line 9: found both `replace.ratio` and `replace.count`, expected one of them");
    check(
        "[tune]\nsteps = 5\nepochs = 2",
        "c.toml, line 11: found both `tune.epochs` and `tune.steps`, expected one of them",
    );
}

#[test]
fn each_verb_asks_for_its_own_keys() {
    let bare = parse("version = 1\noutput = \"runs/test\"\n[data]\n", &[]).unwrap();
    let asked = |need, verb| bare.require(need, verb).unwrap_err().to_string();
    assert_eq!(
        asked(ConfigNeed::Model, "bundle"),
        "c.toml: key `model.path`: missing, expected a model folder in the Hugging Face layout, because `scaleot bundle` needs it"
    );
    assert_eq!(
        asked(ConfigNeed::Data, "tune"),
        "c.toml, line 3: found neither `data.task` nor `data.text`, expected one of them, because `scaleot tune` needs it"
    );
    assert_eq!(
        asked(ConfigNeed::Replaced, "replace"),
        "c.toml: found neither `replace.ratio` nor `replace.count`, expected one of them, because `scaleot replace` needs it"
    );
    assert_eq!(bare.require(ConfigNeed::PublicText, "train").map_err(|error| error.to_string()), Ok(()));
    // What is left out stays out of the effective config.
    let again = parse(&bare.to_toml().unwrap(), &[]).unwrap();
    assert_eq!((again.model.folder(), again.digest().unwrap()), (None, bare.digest().unwrap()));
    assert_eq!(
        refused(parse("version = 1\noutput = \"a\"\n[model]\npath = \"\"", &[])),
        "c.toml, line 4: key `model.path`: found the string \"\", expected a string that is not empty"
    );
}

#[test]
fn a_path_of_the_command_line_is_the_persons_own() {
    let here = std::env::current_dir().unwrap();
    let config = small(&["model.path=../model", "data.text=[\"../a.txt\", \"b.txt\"]", "output=runs/x"]);
    assert_eq!(config.model.path, here.join("../model"));
    assert_eq!(config.data.text, [here.join("../a.txt"), "b.txt".into()]);
    assert_eq!(config.output, Path::new("runs/x"));
    // Written down, it means the same.
    assert_eq!(parse(&config.to_toml().unwrap(), &[]).unwrap().model.path, config.model.path);
    let text = SMALL.replace("models/test", "../model");
    assert_eq!(
        refused(parse(&text, &[])),
        "c.toml, line 4: key `model.path`: found `../model`, which leads out of the current folder; write it as an absolute path"
    );
}

#[test]
fn an_override_is_given_once() {
    let twice = |overrides: &[&str]| {
        let overrides: Vec<_> = overrides.iter().map(|&text| text.to_owned()).collect();
        super::super::refuse_twice(&overrides).map_err(|error| error.to_string())
    };
    assert_eq!(twice(&["tune.steps=1", "train.steps=1", "seed"]), Ok(()));
    assert_eq!(
        twice(&["tune.steps=1", "seed=3", " tune.steps =2"]).unwrap_err(),
        "override ` tune.steps =2`: key `tune.steps`: found twice, expected once; `tune.steps=1` is given as well"
    );
}

#[test]
fn the_owners_training_is_a_section_or_nothing() {
    let train = |text: &str, overrides: &[&str]| parse(&format!("{SMALL}{text}"), overrides);
    assert_eq!(train("", &[]).unwrap().train, None);
    let on = train("[train]\nsteps = 5", &[]).unwrap().train.unwrap();
    assert_eq!(on.length(), TrainingLength::Steps(5.try_into().unwrap()));
    // An override takes away what the file has, whatever else was set of it.
    assert_eq!(train("[train]\nsteps = 5\nwarmup_steps = 2", &["train.steps=0"]).unwrap().train, None);
    assert_eq!(train("[train]\nsteps = 5", &["train.warmup_steps=2", "train.steps=0"]).unwrap().train, None);
    let epochs = train("[train]\nsteps = 5", &["train.epochs=2"]).unwrap().train.unwrap();
    assert_eq!(epochs.length(), TrainingLength::Epochs(2.try_into().unwrap()));
    assert_eq!(
        refused(train("[train]\nsteps = 0", &[])),
        "c.toml, line 10: key `train.steps`: found 0, expected at least 1 step, or no [train]: left out, nothing of the emulator trains"
    );
    assert_eq!(
        refused(train("[train]\nwarmup_steps = 2", &[])),
        "c.toml, line 9: key `train.steps`: missing, expected a whole number of at least 1: optimiser steps; or `train.epochs`"
    );
}
