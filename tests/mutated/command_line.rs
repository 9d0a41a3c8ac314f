//! Every verb with words taken away, added, swapped, or replaced by odd ones.

use super::{base::Base, odd, random::Random};
use crate::Case;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

/// Overrides that keep a verb on the ordinary config short. The run folder is a finished one.
pub const QUICK: &str = "configs/ci.toml output=run evaluate.limit=1 evaluate.text=[] runtime.threads=1 tune.steps=1";
/// The questions and the model of the tests.
pub const BARE: &str = "--task arc_easy --tasks-folder tests/fixtures/tasks --limit 1 --threads 1";

/// Command lines that work, or would after others; QUICK and BARE stand for the above.
const LINES: [&str; 42] = [
    "run QUICK",
    "run QUICK output=other --json",
    "importance QUICK",
    "replace QUICK --json",
    "train QUICK",
    "compress QUICK compress.use=scaleot/selective-rank output=other",
    "bundle QUICK",
    "tune QUICK --json",
    "tune QUICK output=other --bundle run/bundle",
    "plug-in QUICK --return run/return --json",
    "full-tuning QUICK full_tuning.steps=1 output=other",
    "evaluate QUICK --json",
    "evaluate --model tests/fixtures/ci-model BARE --json",
    "evaluate --model tests/fixtures/ci-model --text tests/fixtures/text/hellaswag-train.txt --limit 1 --json",
    "evaluate --model run/bundle --return run/return BARE",
    "evaluate --model run/bundle BARE --dtype bf16",
    "report QUICK",
    "report QUICK --json",
    "export QUICK --to exported --what plug-in",
    "export QUICK --to exported --what emulator --json",
    "plan QUICK",
    "plan QUICK --json",
    "verify run/bundle",
    "verify run/return --bundle run/bundle --json",
    "plugin list --json",
    "plugin list --plugin-path packed",
    "plugin info shortgpt --plugin-path packed --unpinned allow --json",
    "plugin check scaleot --json",
    "plugin check shortgpt",
    "plugin new my-method --kind adapter --path crate --json",
    "plugin pack packed/libshortgpt.so --publisher me --license MIT --json",
    "plugin add packed",
    "plugin remove shortgpt --json",
    "plugin lock configs/ci.toml --json",
    "config validate configs/ci.toml --json",
    "config show configs/ci.toml --json",
    "config schema",
    "doctor --json",
    "completions bash --json",
    "choose suite.toml --max-emulator 0.5 --max-bundle 20MB --json",
    "bench tune QUICK output=other --steps 1 --warmup 0 --json",
    "bench compress QUICK compress.use=scaleot/selective-rank --json",
];

pub fn words(line: &str) -> Vec<OsString> {
    line.replace("QUICK", QUICK).replace("BARE", BARE).split(' ').map(OsString::from).collect()
}

pub fn case(_: &Base, _: &Path, random: &mut Random) -> Case {
    let line = *random.pick(&LINES);
    let mut arguments = words(line);
    let times = 1 + random.below(3);
    for _ in 0..times {
        change(&mut arguments, random);
    }
    Case { what: line.to_owned(), arguments }
}

fn change(arguments: &mut Vec<OsString>, random: &mut Random) {
    let at = random.below(arguments.len());
    let odd = match random.below(12) {
        0 => OsString::from_vec(vec![b'a', 0xff, b'/', 0xfe]),
        1 => OsString::from("x".repeat(100_000)),
        2 => words(random.pick::<&str>(&LINES)).swap_remove(0),
        _ => OsString::from(random.pick(&odd::WORDS)),
    };
    match random.below(7) {
        0 if !arguments.is_empty() => drop(arguments.remove(at)),
        1 if !arguments.is_empty() => arguments.insert(at, arguments[at].clone()),
        2 if !arguments.is_empty() => {
            let to = random.below(arguments.len());
            arguments.swap(at, to);
        }
        3 if !arguments.is_empty() => {
            let mut bytes = arguments[at].as_bytes().to_vec();
            super::text::spoil(&mut bytes, random);
            // No argument holds a NUL: the system ends it there.
            bytes.retain(|&byte| byte != 0);
            bytes.truncate(100_000);
            arguments[at] = OsString::from_vec(bytes);
        }
        4 => arguments.insert(at, odd),
        _ if arguments.is_empty() => arguments.push(odd),
        _ => value(&mut arguments[at], &odd),
    }
}

/// Of `key=value` the value alone, of anything else all of it.
fn value(argument: &mut OsString, odd: &OsString) {
    let bytes = argument.as_bytes();
    let kept = bytes.iter().position(|&byte| byte == b'=').map_or(0, |at| at + 1);
    let mut new = OsString::from_vec(bytes[..kept].to_vec());
    new.push(odd);
    *argument = new;
}
