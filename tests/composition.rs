//! Any estimator with any replacer, compressor and adapter: whatever `plugin list` offers, so that a new plugin joins by itself.
//!
//! Runs are chosen so that every pair of strategies of different kinds meets in at least one (pairwise covering), each as cheap as
//! the options' own ranges allow. What a strategy declares to need is refused before work starts where the config lacks it.

use behaviour::{quick, scaleot, scratch, verb};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// In the order of the pipeline.
const KINDS: [&str; 4] = ["importance", "replace", "compress", "adapter"];
/// Instead of a compressor.
const NONE: &str = "";

struct Offered {
    /// `plugin/strategy`.
    name: String,
    kind: String,
    requires: Vec<Value>,
    declares: Vec<Value>,
    properties: Map<String, Value>,
}

fn offered() -> Vec<Offered> {
    let mut all = listed();
    // It trains biases, and refuses a model that has none.
    all.retain(|strategy| strategy.name != NEEDS_BIASES);
    all
}

const NEEDS_BIASES: &str = "peft/bit-fit";

fn listed() -> Vec<Offered> {
    let listed = scaleot(["plugin", "list", "--json"]).expect(0).json();
    assert_eq!(listed["refused"], json!([]));
    let mut all = Vec::new();
    for plugin in listed["plugins"].as_array().unwrap() {
        for strategy in plugin["record"]["strategies"].as_array().unwrap() {
            let word = |value: &Value| value.as_str().unwrap().to_owned();
            all.push(Offered {
                name: format!("{}/{}", word(&plugin["record"]["name"]), word(&strategy["name"])),
                kind: word(&strategy["kind"]),
                requires: strategy["requires"].as_array().cloned().unwrap_or_default(),
                declares: strategy["declares"].as_array().cloned().unwrap_or_default(),
                properties: strategy["options"]["properties"].as_object().cloned().unwrap_or_default(),
            });
        }
    }
    all
}

impl Offered {
    /// The options that say how long it works, made small.
    fn cheap(&self) -> String {
        let counts = ["steps", "batches", "windows", "passes", "samples", "candidates"];
        let small = self.properties.iter().filter_map(|(name, schema)| {
            let counts = counts.iter().any(|word| name.ends_with(word));
            let default = schema["default"].as_u64().filter(|default| counts && *default > 2)?;
            Some(format!("{name} = {}", schema["minimum"].as_u64().unwrap_or(1).max(2).min(default)))
        });
        small.collect::<Vec<_>>().join(", ")
    }

    fn overrides(&self) -> Vec<String> {
        let Self { kind, name, .. } = self;
        let mut overrides = vec![format!("{kind}.use={name}"), format!("{kind}.options={{ {} }}", self.cheap())];
        overrides.extend(self.needs("training").then(|| "train.steps=1".to_owned()));
        overrides
    }

    fn needs(&self, what: &str) -> bool {
        self.requires.iter().any(|one| one["need"] == what)
    }

    /// True where it declares this whatever its options.
    fn declares(&self, of: &str) -> bool {
        self.declares.iter().any(|one| one["trait"] == of && one.get("if").is_none())
    }
}

/// True where an estimator and a replacer can mean something together.
fn go_together(estimator: &Offered, replacer: &Offered) -> bool {
    let (equal, own_rule) = (estimator.declares("equal_scores"), replacer.declares("ignores_scores"));
    let trains = estimator.declares("trains_substitutes") && !replacer.declares("trains_nothing");
    if equal { own_rule } else { !own_rule || trains }
}

/// An estimator for a test of a replacer, or the other way round: without a need of its own if there is one.
fn partner<'a>(all: &'a [Offered], of: &Offered) -> Option<&'a Offered> {
    let fits = |one: &&Offered| match of.kind.as_str() {
        "importance" => one.kind == "replace" && go_together(of, one),
        "replace" => one.kind == "importance" && go_together(one, of),
        _ => false,
    };
    all.iter().filter(fits).min_by_key(|one| one.requires.len())
}

type Pair = ((usize, String), (usize, String));

fn pairs(row: &[String]) -> BTreeSet<Pair> {
    let place = |at: usize| (at, row[at].clone());
    let all = (0..row.len()).flat_map(|one| (one + 1..row.len()).map(move |other| (one, other)));
    all.map(|(one, other)| (place(one), place(other))).collect()
}

/// Rows in which every pair of choices meets that any row has; always the row with the most pairs that have not met yet.
fn covering(choices: &[Vec<String>], means_something: impl Fn(&[String]) -> bool) -> Vec<Vec<String>> {
    let mut product: Vec<Vec<String>> = vec![Vec::new()];
    for kind in choices {
        product = product
            .iter()
            .flat_map(|row| kind.iter().map(|one| [&row[..], std::slice::from_ref(one)].concat()))
            .collect();
    }
    product.retain(|row| means_something(row));
    let mut unmet: BTreeSet<Pair> = product.iter().flat_map(|row| pairs(row)).collect();
    let mut rows = Vec::new();
    while !unmet.is_empty() {
        let best = product.iter().max_by_key(|row| pairs(row).intersection(&unmet).count()).unwrap().clone();
        unmet.retain(|pair| !pairs(&best).contains(pair));
        rows.push(best);
    }
    rows
}

/// A run as short as one can be.
fn run(folder: &Path, number: usize, strategies: &[&Offered], dtype: &str) -> Value {
    let short = ["tune.steps=1", "tune.batch_size=1", "data.train_limit=8", "data.validation_limit=4"];
    let table = ["evaluate.limit=2", "evaluate.text=[]", "evaluate.columns=[\"emulator\", \"plug_in\"]"];
    let mut more: Vec<String> = short.iter().chain(&table).map(ToString::to_string).collect();
    more.extend(["public_data.block_length=32", dtype].map(str::to_owned));
    more.extend(strategies.iter().flat_map(|strategy| strategy.overrides()));
    more.extend(["--json", "--quiet", "--stage-pool"].map(str::to_owned));
    more.push(folder.join("pool").display().to_string());
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    verb("run", &folder.join(format!("run-{number}")), &more).expect(0).json()
}

#[test]
fn bias_training_is_refused_where_there_is_no_bias() {
    let folder = scratch();
    let more = ["adapter.use=peft/bit-fit"];
    let outcome = verb("run", &folder.path().join("run"), &more).expect(4);
    assert!(outcome.stderr.contains("this model family has none: take peft/lora"), "{}", outcome.stderr);
}

#[test]
fn every_pair_of_strategies_gives_a_row_of_the_table() {
    let all = offered();
    let mut choices: Vec<Vec<String>> = KINDS
        .iter()
        .map(|kind| all.iter().filter(|offered| offered.kind == *kind).map(|offered| offered.name.clone()).collect())
        .collect();
    assert!(choices.iter().all(|kind| !kind.is_empty()), "a kind without a strategy: {choices:?}");
    choices[2].push(NONE.to_owned());
    choices.push(["model.dtype=fp32", "model.dtype=bf16"].map(str::to_owned).to_vec());
    let named = |name: &String| all.iter().find(|offered| offered.name == *name).unwrap();
    let rows = covering(&choices, |row| go_together(named(&row[0]), named(&row[1])));
    let product: usize = choices.iter().map(Vec::len).product();
    assert!(rows.len() <= product && rows.len() >= choices[0].len().max(choices[1].len()), "{rows:?}");
    let met = |name: &String| rows.iter().any(|row| row.contains(name));
    assert!(choices.iter().flatten().all(met), "every strategy is in a row");
    let folder = scratch();
    for (number, row) in rows.iter().enumerate() {
        let strategies: Vec<&Offered> = all.iter().filter(|offered| row.contains(&offered.name)).collect();
        let report = run(folder.path(), number, &strategies, &row[KINDS.len()]);
        for strategy in &strategies {
            assert_eq!(report["strategies"][&strategy.kind], strategy.name.as_str(), "{row:?}");
        }
        let loss = report["rows"].as_array().unwrap().iter().find(|row| row["metric"] == "answer_loss").unwrap();
        for column in ["emulator", "plug_in"] {
            let mean = loss["figures"][column]["mean"].as_f64().unwrap();
            assert!(mean.is_finite() && mean > 0.0, "{row:?}: {column} is {mean}");
        }
    }
}

/// A value of an option other than this one.
fn another(schema: &Value, than: &Value) -> String {
    let words = schema["enum"].as_array().cloned().unwrap_or_default();
    let constants = schema["oneOf"].as_array().into_iter().flatten().map(|one| one["const"].clone());
    match words.into_iter().chain(constants).find(|word| word != than && !word.is_null()) {
        Some(word) => word.to_string(),
        None => (than.as_u64().unwrap() + 1).to_string(),
    }
}

#[test]
fn a_need_that_the_config_does_not_meet_is_refused_before_work_starts() {
    let all = offered();
    let folder = scratch();
    let output = folder.path().join("run");
    let mut needs = 0;
    for strategy in &all {
        let partner = partner(&all, strategy).map(|one| format!("{}.use={}", one.kind, one.name));
        let trains = strategy.needs("training").then(|| "train.steps=1".to_owned());
        let validate = |more: &[String]| {
            let mut arguments = vec!["config".to_owned(), "validate".to_owned(), behaviour::CONFIG.to_owned()];
            arguments.extend(quick(&output));
            arguments.extend(partner.iter().chain(&trains).chain(more).cloned());
            scaleot(behaviour::each_key_once(arguments))
        };
        let used = format!("{}.use={}", strategy.kind, strategy.name);
        let without = "public_data.text=[]".to_owned();
        for requirement in &strategy.requires {
            needs += 1;
            if requirement["need"] == "training" {
                validate(std::slice::from_ref(&used)).expect(0);
                let refused = validate(&[used.clone(), "train.steps=0".to_owned()]).expect(2).stderr;
                let name = &strategy.name;
                let why = format!(
                    "key `train.steps`: found no [train], expected at least 1 step, because replace.use = \"{name}\""
                );
                assert!(refused.contains(&why), "{refused}");
                continue;
            }
            assert_eq!(requirement["need"], "public_text", "a need that this test does not know how to take away");
            let mut more = vec![used.clone()];
            if let Some(unless) = requirement.get("unless") {
                let option = unless["option"].as_str().unwrap();
                // Where the need does not arise, nothing is missed.
                validate(&[
                    used.clone(),
                    without.clone(),
                    format!("{}.options.{option}={}", strategy.kind, unless["is"]),
                ])
                .expect(0);
                let schema = resolved(strategy, option);
                more.push(format!("{}.options.{option}={}", strategy.kind, another(&schema, &unless["is"])));
            }
            validate(&more).expect(0);
            more.push(without.clone());
            let refused = validate(&more).expect(2).stderr;
            assert!(
                refused.contains("key `public_data.text`: found no file") && refused.contains(&strategy.name),
                "{refused}"
            );
            more.extend(partner.iter().chain(&trains).cloned());
            let more: Vec<&str> = more.iter().map(String::as_str).collect();
            let stage = if strategy.kind == "replace" { "importance" } else { strategy.kind.as_str() };
            for name in [stage, "run"] {
                assert_eq!(verb(name, &output, &more).expect(2).stderr, refused);
            }
            assert!(!output.join("importance").exists(), "work was done");
        }
        // A partner may need text itself.
        if strategy.requires.is_empty() && partner.is_none() {
            validate(&[used, without]).expect(0);
        }
    }
    assert!(needs >= 4, "the shipped plugins declare what they need");
}

/// The schema of an option, its reference followed.
fn resolved(strategy: &Offered, option: &str) -> Value {
    let schema = strategy.properties[option].clone();
    let Some(target) = schema.get("$ref").and_then(Value::as_str) else { return schema };
    let (plugin, name) = strategy.name.split_once('/').unwrap();
    let info = scaleot(["plugin", "info", plugin, "--json"]).expect(0).json();
    let all = info["record"]["strategies"].as_array().unwrap().clone();
    let whole = all.into_iter().find(|one| one["name"] == name).unwrap();
    whole["options"].pointer(target.trim_start_matches('#')).unwrap().clone()
}

#[test]
fn a_covering_is_smaller_than_the_product_and_misses_no_pair() {
    let choices: Vec<Vec<String>> = [5, 4, 3, 2]
        .iter()
        .enumerate()
        .map(|(kind, count)| (0..*count).map(|one| format!("{kind}{one}")).collect())
        .collect();
    let rows = covering(&choices, |_| true);
    let met: BTreeSet<Pair> = rows.iter().flat_map(|row| pairs(row)).collect();
    assert_eq!(met.len(), 5 * 4 + 5 * 3 + 5 * 2 + 4 * 3 + 4 * 2 + 3 * 2);
    assert!(rows.len() >= 20 && rows.len() <= 30, "{} rows", rows.len());
}
