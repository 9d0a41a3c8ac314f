//! A run that is stopped and continued gives, bit for bit on one thread, what a run gives that nobody stopped: every shipped
//! estimator with every shipped replacer, every adapter, full tuning, and the owner's training, over fixed points.
//!
//! `SCALEOT_TEST_STOP_AT=n` asks the program to stop when it looks for the n-th time whether somebody did, so a point is the same
//! on every machine.

use behaviour::model::deepened;
use behaviour::{CONFIG, Outcome, identity, outcome, program::command, quick, repository, scaleot, scratch, tree};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A strategy that the program offers, and options that keep it short and yet longer than its interruption.
struct Offered {
    kind: String,
    name: String,
    options: String,
}

fn offered(kind: &str) -> Vec<Offered> {
    let listed = scaleot(["plugin", "list", "--json"]).expect(0).json();
    let mut all = Vec::new();
    for plugin in listed["plugins"].as_array().unwrap() {
        for strategy in plugin["record"]["strategies"].as_array().unwrap().iter().filter(|one| one["kind"] == kind) {
            let counts = ["steps", "batches", "windows", "passes", "samples", "candidates"];
            let properties = strategy["options"]["properties"].as_object().cloned().unwrap_or_default();
            let small = properties.iter().filter_map(|(name, schema)| {
                let counts = counts.iter().any(|word| name.ends_with(word));
                let default = schema["default"].as_u64().filter(|default| counts && *default > 4)?;
                Some(format!("{name} = {}", schema["minimum"].as_u64().unwrap_or(1).max(4).min(default)))
            });
            let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            // By default it does not fit before importance; here it does, and is stopped while it does.
            let fits = properties.contains_key("fit_passes").then(|| "fit_passes = 4".to_owned());
            all.push(Offered {
                kind: kind.to_owned(),
                name: format!("{}/{}", word(&plugin["record"]["name"]), word(&strategy["name"])),
                options: small.chain(fits).collect::<Vec<_>>().join(", "),
            });
        }
    }
    assert!(!all.is_empty(), "no {kind}");
    all
}

impl Offered {
    fn overrides(&self) -> [String; 2] {
        let Self { kind, name, options } = self;
        [format!("{kind}.use={name}"), format!("{kind}.options={{ {options} }}")]
    }
}

/// A verb in a run folder, asked to stop at a look or left alone; on [`CONFIG`] unless `more` begins with another config.
fn run(verb: &str, folder: &Path, more: &[String], stop_at: Option<u64>) -> Outcome {
    let own = more.first().filter(|first| first.ends_with(".toml"));
    let more = if own.is_some() { &more[1..] } else { more };
    let mut arguments = vec![verb.to_owned(), own.map_or(CONFIG, String::as_str).to_owned()];
    arguments.extend(quick(folder));
    arguments.extend(more.iter().cloned());
    let mut command = command(arguments);
    if let Some(look) = stop_at {
        command.env("SCALEOT_TEST_STOP_AT", look.to_string());
    }
    outcome(&mut command)
}

/// The fate of a stage that was stopped at a look and then continued.
#[derive(PartialEq, Eq, Debug)]
enum Stopped {
    /// It was done before.
    Never,
    /// Nothing was kept yet, or the stage keeps nothing: it began again.
    Early,
    /// It went on from a checkpoint.
    Resumed,
}

/// A stage that is stopped: its verb, and the name of what it makes.
#[derive(Clone, Copy)]
struct Stage<'a> {
    verb: &'a str,
    name: &'a str,
}

const IMPORTANCE: Stage<'static> = Stage { verb: "importance", name: "importance" };

/// Stops a stage at a look in a folder of its own, which `prepare` fills, continues, and compares it with that of `whole`.
#[track_caller]
fn stop_and_continue(stopped: Stage<'_>, whole: &Path, prepare: &dyn Fn(&Path), more: &[String], look: u64) -> Stopped {
    let Stage { verb, name: stage } = stopped;
    let folder = scratch();
    let output = folder.path().join("run");
    prepare(&output);
    let first = run(verb, &output, more, Some(look));
    let told = format!("{verb} {more:?} at look {look}: {}", first.stderr);
    let stopped = match first.code {
        Some(0) => Stopped::Never,
        Some(7) => {
            assert!(first.stderr.contains(&format!("interrupted in {stage}")), "{told}");
            assert!(!first.stderr.contains("failed in"), "no plugin is to blame: {told}");
            assert!(!output.join(stage_folder(stage)).exists(), "{told}");
            let continued = run(verb, &output, more, None).expect(0);
            let resumed = continued.stderr.contains("continuing from the checkpoint at step");
            assert_eq!(resumed, first.stderr.contains("continues from there"), "{told}{}", continued.stderr);
            if resumed { Stopped::Resumed } else { Stopped::Early }
        }
        _ => panic!("{told}"),
    };
    let folder = stage_folder(stage);
    assert_eq!(tree(&output.join(folder)), tree(&whole.join(folder)), "{told}");
    assert_eq!(identity(&output.join(folder)), identity(&whole.join(folder)), "{told}");
    stopped
}

fn stage_folder(stage: &str) -> &str {
    if stage == "tune" { "return" } else { stage }
}

/// Nothing to start from.
fn empty(_: &Path) {}

/// Works on all items, on as many threads as there are cores.
fn on_all_cores<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = Mutex::new(items.iter());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let item = next.lock().unwrap().next();
                    let Some(item) = item else { break };
                    work(item);
                }
            });
        }
    });
}

#[test]
fn every_estimator_with_every_replacer() {
    let (estimators, replacers) = (offered("importance"), offered("replace"));
    let pairs: Vec<(usize, &Offered, &Offered)> = estimators
        .iter()
        .flat_map(|estimator| replacers.iter().map(move |replacer| (estimator, replacer)))
        .enumerate()
        .map(|(number, (estimator, replacer))| (number, estimator, replacer))
        .collect();
    let seen = Mutex::new(Vec::new());
    on_all_cores(&pairs, |(number, estimator, replacer)| {
        let mut more: Vec<String> = [estimator.overrides(), replacer.overrides()].concat();
        more.extend(["importance.checkpoint_every=2", "public_data.block_length=32"].map(str::to_owned));
        // It is refused without the training that it is made for.
        more.extend((replacer.name == "offsite-tuning/distilled-drop").then(|| "train.steps=1".to_owned()));
        let folder = scratch();
        let whole = run("importance", folder.path(), &more, None);
        // A pair in which the scores mean nothing is refused before any work.
        let meaningless = ["whose scores nothing reads", "which gives every layer the same score"];
        if whole.code == Some(2) && meaningless.iter().any(|words| whole.stderr.contains(words)) {
            return;
        }
        whole.expect(0);
        // Half of the pairs are stopped early, half late.
        let looks = [2 + *number as u64 % 7, 1];
        for look in looks {
            let stopped = stop_and_continue(IMPORTANCE, folder.path(), &empty, &more, look);
            let found = (estimator.name.clone(), replacer.name.clone(), stopped);
            let done = found.2 != Stopped::Never;
            seen.lock().unwrap().push(found);
            if done {
                break;
            }
        }
    });
    let seen = seen.into_inner().unwrap();
    let resumed: Vec<_> = seen.iter().filter(|(_, _, stopped)| *stopped == Stopped::Resumed).collect();
    // Those of the adapters and of the stages that train come on top, more than thirty.
    assert!(resumed.len() >= 18, "{} interruptions in {seen:?}", resumed.len());
    // Those that were wrong before: nothing trains, and yet there is a place in the text.
    for estimator in ["shortened-llama/leave-one-out", "shortgpt/block-influence", "llm-pruner/taylor"] {
        let drops = |found: &&&(String, String, Stopped)| found.0 == estimator && found.1 == "shortgpt/layer-removal";
        assert_eq!(resumed.iter().filter(drops).count(), 1, "{estimator}: {seen:?}");
    }
}

/// A config on a model of a family with biases, which bias training needs, and on plain text, which its characters can write.
fn config_with_biases(folder: &Path) -> String {
    let [model, text, config] = ["model", "text.txt", "config.toml"].map(|name| folder.join(name));
    deepened("gpt2", 4, &model);
    let whole = std::fs::read_to_string(repository().join("tests/fixtures/text/hellaswag-train.txt")).unwrap();
    std::fs::write(&text, whole.chars().filter(char::is_ascii).take(1500).collect::<String>()).unwrap();
    let (model, text) = (model.display(), text.display());
    let lines = format!(
        "version = 1\n[model]\npath = \"{model}\"\n[data]\ntext = [\"{text}\"]\nblock_length = 32\n\
         [importance]\nuse = \"offsite-tuning/uniform\"\n[replace]\nuse = \"offsite-tuning/layer-drop\"\n\
         count = 1\n[adapter]\nlayers = 2\n\
         [tune]\nlearning_rate = 1e-3\nsteps = 6\nbatch_size = 2\naccumulation = 2\nevaluate_every = 3\n\
         checkpoint_every = 2\n[evaluate]\ntext = [\"{text}\"]\n"
    );
    std::fs::write(&config, lines).unwrap();
    config.display().to_string()
}

/// Six steps of the data owner, stopped after some of them, with every adapter; in fp16 and bf16 too.
#[test]
fn every_adapter() {
    let folder = scratch();
    let config = config_with_biases(folder.path());
    let mut all: Vec<(PathBuf, Vec<String>)> = Vec::new();
    for (number, adapter) in offered("adapter").iter().enumerate() {
        for dtype in ["fp32", ["bf16", "fp16"][number % 2]] {
            let mut more = vec![config.clone()];
            more.extend(adapter.overrides());
            more.push(format!("model.dtype={dtype}"));
            all.push((folder.path().join(format!("{number}-{dtype}")), more));
        }
    }
    on_all_cores(&all, |(whole, more)| {
        for verb in ["importance", "replace", "bundle"] {
            run(verb, whole, more, None).expect(0);
        }
        let started = scratch();
        behaviour::copy(whole, started.path());
        let from = |to: &Path| behaviour::copy(started.path(), to);
        run("tune", whole, more, None).expect(0);
        for look in [1, 2, 5] {
            assert_eq!(
                stop_and_continue(Stage { verb: "tune", name: "tune" }, whole, &from, more, look),
                Stopped::Resumed,
                "{more:?}"
            );
        }
    });
}

#[test]
fn full_tuning_and_the_owners_training() {
    let folder = scratch();
    let whole = folder.path().join("run");
    let mut more: Vec<String> = ["replace.use=scaleot/harmonizer", "train.steps=6", "train.evaluate_every=3"]
        .iter()
        .chain(&[
            "train.checkpoint_every=2",
            "train.accumulation=2",
            "train.batch_size=2",
            "public_data.block_length=32",
        ])
        .chain(&["full_tuning.steps=4", "full_tuning.accumulation=2", "full_tuning.batch_size=2"])
        .chain(&["full_tuning.checkpoint_every=1", "full_tuning.evaluate_every=2", "data.train_limit=6"])
        .map(ToString::to_string)
        .collect();
    more.push("replace.options={ fit_passes = 2, selection = \"even\" }".to_owned());
    for verb in ["importance", "replace"] {
        run(verb, &whole, &more, None).expect(0);
    }
    let started = scratch();
    behaviour::copy(&whole, started.path());
    let from = |to: &Path| behaviour::copy(started.path(), to);
    for (verb, stage) in [("train", "train"), ("full-tuning", "full_tuning")] {
        run(verb, &whole, &more, None).expect(0);
        for look in [1, 3] {
            let stopped = stop_and_continue(Stage { verb, name: stage }, &whole, &from, &more, look);
            assert_eq!(stopped, Stopped::Resumed, "{verb} at look {look}");
        }
    }
}

/// Leftovers of a longer run with another config neither count nor displace, in tuning and in importance.
#[test]
fn checkpoints_of_another_config_are_in_nobodys_way() {
    let folder = scratch();
    let started = folder.path().join("started");
    for verb in ["importance", "replace", "bundle"] {
        run(verb, &started, &[], None).expect(0);
    }
    let tune = ["tune.steps=40", "tune.checkpoint_every=3", "tune.evaluate_every=12"].map(str::to_owned).to_vec();
    let tune_again = [&tune[..], &["tune.learning_rate=2e-3".to_owned()]].concat();
    let tuning = Stage { verb: "tune", name: "return" };
    let (first, second) = (Attempt { more: &tune, look: 33 }, Attempt { more: &tune_again, look: 13 });
    other_config_is_in_nobodys_way(tuning, Some(&started), first, second);
    let estimator = "importance.use=shortened-llama/leave-one-out".to_owned();
    let batches = |count: u32| {
        vec![
            estimator.clone(),
            "replace.use=shortgpt/layer-removal".to_owned(),
            format!("importance.options.batches={count}"),
            "importance.checkpoint_every=1".to_owned(),
        ]
    };
    let (long, short) = (batches(30), batches(12));
    let (first, second) = (Attempt { more: &long, look: 21 }, Attempt { more: &short, look: 4 });
    other_config_is_in_nobodys_way(IMPORTANCE, None, first, second);
}

/// A config's overrides, and the look at which its run is stopped.
struct Attempt<'a> {
    more: &'a [String],
    look: u64,
}

fn other_config_is_in_nobodys_way(stopped: Stage<'_>, started: Option<&Path>, first: Attempt<'_>, second: Attempt<'_>) {
    let Stage { verb, name: stage } = stopped;
    let folder = scratch();
    let [whole, output] = ["whole", "run"].map(|name| folder.path().join(name));
    for to in [&whole, &output] {
        if let Some(started) = started {
            behaviour::copy(started, to);
        }
    }
    let checkpoints = || {
        let names = std::fs::read_dir(&output).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut steps: Vec<u64> =
            names.filter_map(|name| name.strip_prefix(&format!("{verb}-checkpoint-"))?.parse().ok()).collect();
        steps.sort_unstable();
        steps
    };
    run(verb, &output, first.more, Some(first.look)).expect(7);
    let highest = *checkpoints().last().unwrap();
    let stopped = run(verb, &output, second.more, Some(second.look)).expect(7).stderr;
    assert!(stopped.contains("the checkpoint of the earlier run is not used"), "{stopped}");
    let own = checkpoints();
    assert!(own.len() == 2 && own[1] < highest, "{own:?}, of the earlier run {highest}");
    assert!(stopped.contains(&format!("interrupted in {verb} at step {};", own[1])), "{own:?}: {stopped}");
    let continued = run(verb, &output, second.more, None).expect(0).stderr;
    assert!(continued.contains(&format!("continuing from the checkpoint at step {}", own[1])), "{continued}");
    run(verb, &whole, second.more, None).expect(0);
    assert_eq!(identity(&output.join(stage)), identity(&whole.join(stage)));
    assert_eq!(checkpoints(), Vec::<u64>::new());
}
