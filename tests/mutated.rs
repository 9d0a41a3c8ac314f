//! No input ends the program in a fault of its own: mutated command lines, configs, suites, questions, models, parcels, run
//! folders and plugin manifests end in a documented exit status, with a sentence, in time and in bounded memory.
//!
//! Deterministic: case N is the same everywhere. `SCALEOT_MUTATIONS=2000` makes it that many (`make mutations`),
//! `SCALEOT_MUTATIONS_FROM=N` begins at case N, so that `SCALEOT_MUTATIONS=1` beside it is one case alone.

mod mutated {
    pub mod base;
    pub mod command_line;
    pub mod files;
    pub mod json;
    pub mod odd;
    pub mod random;
    pub mod text;
    pub mod verdict;
}

use mutated::base::Base;
use mutated::verdict::{Ended, fault, run};
use mutated::{command_line, files, random::Random};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of mutations of a test run without wishes: half a minute on two cores.
const SLICE: u64 = 96;

/// A mutation: what was done, and the command that meets it in its scratch folder.
pub struct Case {
    pub what: String,
    pub arguments: Vec<std::ffi::OsString>,
}

type Make = fn(&Base, &std::path::Path, &mut Random) -> Case;

const KINDS: [(&str, Make); 12] = [
    ("command line", command_line::case),
    ("config", files::config),
    ("suite", files::suite),
    ("questions", files::questions),
    ("task file", files::task),
    ("model config", files::model_config),
    ("tokenizer", files::tokenizer),
    ("weights", files::weights),
    ("bundle", files::bundle),
    ("return", files::returned),
    ("run folder", files::run_folder),
    ("plugin", files::plugin),
];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn no_mutation_ends_in_a_fault_of_ours() {
    let (first, count) = (number("SCALEOT_MUTATIONS_FROM", 0), number("SCALEOT_MUTATIONS", SLICE));
    let base = Base::new();
    let next = AtomicU64::new(first);
    let (faults, codes) = (Mutex::new(Vec::new()), Mutex::new(BTreeMap::<String, u64>::new()));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= first + count {
                return;
            }
            let (kind, make) = KINDS[usize::try_from(number).unwrap() % KINDS.len()];
            let folder = base.scratch();
            let case = make(&base, folder.path(), &mut Random::new(number));
            let ended: Ended = run(&case.arguments, folder.path());
            *codes.lock().unwrap().entry(ended.shown()).or_default() += 1;
            if let Some(fault) = fault(&case.arguments, &ended) {
                let arguments = &case.arguments;
                let what = &case.what;
                let told = format!("case {number}, {kind}: {fault}\n  {what}\n  {arguments:?}\n{}", ended.said());
                eprintln!("{told}");
                faults.lock().unwrap().push(told);
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    eprintln!("{count} mutations by exit status: {:?}", codes.lock().unwrap());
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{} of {count}:\n{}", faults.len(), faults.join("\n"));
}
