//! Files of every kind that somebody else may have written, spoilt, and the verbs that read them.

use super::base::{Base, files_below, seal};
use super::command_line::words;
use super::{json, random::Random, text};
use crate::Case;
use std::fs;
use std::path::Path;

const MODEL: &str = "tests/fixtures/ci-model";

type Spoil = fn(&mut Vec<u8>, &mut Random) -> String;

/// Spoils a file; the case is then the line, from the folder of the file.
fn case(folder: &Path, file: &str, spoil: Spoil, random: &mut Random, lines: &[&str]) -> Case {
    let path = folder.join(file);
    let mut bytes = fs::read(&path).unwrap();
    let what = spoil(&mut bytes, random);
    fs::write(&path, bytes).unwrap();
    Case { what: format!("{file}: {what}"), arguments: words(random.pick::<&str>(lines)) }
}

pub fn config(_: &Base, folder: &Path, random: &mut Random) -> Case {
    let lines = [
        "config validate configs/ci.toml --json",
        "config show configs/ci.toml",
        "plan configs/ci.toml --json",
        "plan configs/ci.toml",
        "report configs/ci.toml output=run",
        "plugin lock configs/ci.toml",
        "run configs/ci.toml tune.steps=1 evaluate.limit=1 evaluate.text=[] --json",
        "importance configs/ci.toml output=other",
        "tune configs/ci.toml tune.steps=1 output=other --bundle run/bundle",
    ];
    case(folder, "configs/ci.toml", text::toml, random, &lines)
}

pub fn suite(_: &Base, folder: &Path, random: &mut Random) -> Case {
    let lines = [
        "choose suite.toml --json",
        "choose suite.toml --min-plug-in 0.9",
        "choose suite.toml --max-emulator 0",
        "choose suite.toml",
        "compare suite.toml tune.steps=1 evaluate.limit=1 evaluate.text=[] evaluate.columns=[\"emulator\"] --json",
    ];
    case(folder, "suite.toml", text::toml, random, &lines)
}

pub fn questions(_: &Base, folder: &Path, random: &mut Random) -> Case {
    let lines = [
        "evaluate --model tests/fixtures/ci-model --task arc_easy --tasks-folder tests/fixtures/tasks --limit 3 --split test --json",
        "tune configs/ci.toml tune.steps=1 output=other --bundle run/bundle",
        "plan configs/ci.toml --json",
        "evaluate configs/ci.toml output=run evaluate.limit=3 evaluate.text=[]",
    ];
    let split = *random.pick(&["train", "validation", "test"]);
    let spoil: Spoil = if random.once_in(2) { text::spoil } else { line_of_json };
    case(folder, &format!("tests/fixtures/tasks/arc_easy/{split}.jsonl"), spoil, random, &lines)
}

/// One of the first lines, as JSON.
fn line_of_json(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let mut lines: Vec<Vec<u8>> = bytes.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    let at = random.below(lines.len().min(3));
    let what = json::spoil(&mut lines[at], random);
    *bytes = lines.join(&b'\n');
    format!("line {}: {what}", at + 1)
}

const TASK: &str = include_str!("../../host/data/src/tasks/arc_easy.toml");

pub fn task(_: &Base, folder: &Path, random: &mut Random) -> Case {
    let tasks = folder.join("tests/fixtures/tasks");
    fs::rename(tasks.join("arc_easy"), tasks.join("own")).unwrap();
    fs::write(tasks.join("own.toml"), TASK.replace("arc_easy", "own")).unwrap();
    let lines = [
        "evaluate --model tests/fixtures/ci-model --task own --tasks-folder tests/fixtures/tasks --limit 2 --split test --json",
        "run configs/ci.toml data.task=own tune.steps=1 evaluate.limit=1 evaluate.text=[]",
        "plan configs/ci.toml data.task=own",
    ];
    case(folder, "tests/fixtures/tasks/own.toml", text::toml, random, &lines)
}

const OF_A_MODEL: [&str; 7] = [
    "evaluate --model tests/fixtures/ci-model BARE --json",
    "evaluate --model tests/fixtures/ci-model --text tests/fixtures/text/hellaswag-train.txt --limit 1",
    "plan QUICK --json",
    "plan QUICK",
    "run QUICK output=other",
    "bundle QUICK",
    "export QUICK --to exported",
];

pub fn model_config(_: &Base, folder: &Path, random: &mut Random) -> Case {
    case(folder, &format!("{MODEL}/config.json"), json::spoil, random, &OF_A_MODEL)
}

pub fn tokenizer(_: &Base, folder: &Path, random: &mut Random) -> Case {
    case(folder, &format!("{MODEL}/tokenizer.json"), json::spoil, random, &OF_A_MODEL)
}

pub fn weights(_: &Base, folder: &Path, random: &mut Random) -> Case {
    case(folder, &format!("{MODEL}/model.safetensors"), safetensors, random, &OF_A_MODEL)
}

/// Mostly the header: its JSON with its length put right, or its length alone.
fn safetensors(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    match random.below(6) {
        0 => text::spoil(bytes, random),
        1 => {
            let wrong = *random.pick(&[0_u64, 1, 8, length as u64 - 1, length as u64 + 1, 1 << 40, u64::MAX]);
            bytes[..8].copy_from_slice(&wrong.to_le_bytes());
            format!("a header of {wrong} bytes")
        }
        2 => {
            let at = 8 + length + random.below(bytes.len() - 8 - length - 4);
            bytes[at..at + 4].copy_from_slice(&random.pick(&[f32::NAN, f32::INFINITY, 1e38, -0.0]).to_le_bytes());
            format!("an odd value at {at}")
        }
        _ => {
            let mut header = bytes[8..8 + length].to_vec();
            let what = json::spoil(&mut header, random);
            bytes.splice(..8 + length, [&(header.len() as u64).to_le_bytes()[..], &header].concat());
            format!("header: {what}")
        }
    }
}

/// Any file by its kind.
fn by_kind(path: &Path) -> Spoil {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => json::spoil,
        Some("safetensors") => safetensors,
        Some("toml") => text::toml,
        _ => text::spoil,
    }
}

/// A file of a folder; half of the time the manifest is made to agree.
fn parcel(folder: &Path, inner: &str, random: &mut Random, lines: &[&str]) -> Case {
    let files = files_below(&folder.join(inner));
    let file = random.pick(&files).strip_prefix(folder).unwrap().to_owned();
    let mut case = case(folder, file.to_str().unwrap(), by_kind(&file), random, lines);
    let manifest = folder.join(&file).with_file_name("manifest.json");
    if !random.once_in(3) && manifest.is_file() {
        seal(manifest.parent().unwrap());
        case.what += ", sealed again";
    }
    case
}

pub fn bundle(_: &Base, folder: &Path, random: &mut Random) -> Case {
    let lines = [
        "verify run/bundle",
        "verify run/bundle --json",
        "tune QUICK output=other --bundle run/bundle --json",
        "evaluate --model run/bundle BARE --json",
        "export QUICK --what emulator --to exported",
        "verify run/return --bundle run/bundle",
    ];
    parcel(folder, "run/bundle", random, &lines)
}

pub fn returned(_: &Base, folder: &Path, random: &mut Random) -> Case {
    let lines = [
        "verify run/return",
        "verify run/return --bundle run/bundle --json",
        "plug-in QUICK --return run/return",
        "evaluate --model run/bundle --return run/return BARE",
        "export QUICK --what plug-in --to exported --json",
    ];
    parcel(folder, "run/return", random, &lines)
}

pub fn run_folder(_: &Base, folder: &Path, random: &mut Random) -> Case {
    let lines =
        ["report QUICK --json", "run QUICK", "evaluate QUICK", "plug-in QUICK", "bundle QUICK --json", "tune QUICK"];
    parcel(folder, "run", random, &lines)
}

pub fn plugin(_: &Base, folder: &Path, random: &mut Random) -> Case {
    fs::rename(folder.join("packed/lock"), folder.join("configs/scaleot.lock")).unwrap();
    let lines = [
        "plugin list --plugin-path packed --json",
        "plugin info shortgpt --plugin-path packed --json",
        "plugin info shortgpt --plugin-path packed",
        "plugin add packed --json",
        "run QUICK importance.use=shortgpt/block-influence output=other --plugin-path packed",
        "config validate configs/ci.toml --json",
        "plugin lock configs/ci.toml --json",
        "doctor --plugin-path packed --json",
    ];
    let file = *random.pick(&["packed/scaleot-plugin.toml", "packed/scaleot-plugin.toml", "configs/scaleot.lock"]);
    case(folder, file, text::toml, random, &lines)
}
