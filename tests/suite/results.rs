//! Results of a suite: computed once, shown in its tables, and equal to the figures of its runs.

use super::support::{Suite, inputs};
use behaviour::identity;
use serde_json::Value;
use std::sync::OnceLock;

const GRID: &str = "seeds = [0, 1]\n\
    [[method]]\nname = \"uniform\"\nconfig = \"METHOD\"\n\
    [[method]]\nname = \"rank\"\nconfig = \"METHOD\"\n\
    set = [\"compress.use=scaleot/selective-rank\", \"compress.options.rank_ratio=0.5\"]\n\
    [axes]\n\"replace.count\" = [1, 2]\n";

/// A finished sweep with what it said; nobody may write into it.
fn sweep() -> &'static (Suite, behaviour::Outcome) {
    static SWEEP: OnceLock<(Suite, behaviour::Outcome)> = OnceLock::new();
    SWEEP.get_or_init(|| {
        let suite = Suite::new(GRID);
        let outcome = suite.verb("sweep", &["--jobs", "2"]).expect(0);
        (suite, outcome)
    })
}

fn cell(method: &str, count: usize, seed: usize) -> String {
    format!("{method}.count-{count}.arc_easy.seed-{seed}")
}

/// A point of the record.
#[track_caller]
fn point<'r>(record: &'r Value, label: &str) -> &'r Value {
    let points = record["points"].as_array().unwrap();
    points.iter().find(|point| point["label"] == label).unwrap_or_else(|| panic!("no {label} in {record}"))
}

#[track_caller]
fn row<'r>(point: &'r Value, metric: &str) -> &'r Value {
    point["rows"].as_array().unwrap().iter().find(|row| row["metric"] == metric).unwrap()
}

/// A metric of every question in a column of a cell.
fn questions(suite: &Suite, cell: &str, column: &str, metric: &str) -> Vec<f64> {
    let path = suite.run(cell).join(column).join("samples_arc_easy.jsonl");
    let lines = std::fs::read_to_string(path).unwrap();
    lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()[metric].as_f64().unwrap()).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn a_stage_that_cells_share_is_made_once() {
    let (suite, outcome) = sweep();
    let made = |stage: &str| Suite::made(&outcome.stderr, stage);
    // One importance for two methods, two replace counts, two seeds; one zero-shot; one emulator of each point.
    assert_eq!((made("importance"), made("evaluate zero_shot on arc_easy")), (1, 1), "{}", outcome.stderr);
    assert_eq!((made("evaluate emulator on arc_easy"), made("compress")), (4, 2));
    assert_eq!((made("tune"), made("evaluate plug_in on arc_easy")), (8, 8));
    let of = |stage: &str| {
        let runs = ["uniform", "rank"].into_iter().flat_map(|method| [(method, 1, 0), (method, 1, 1), (method, 2, 0)]);
        let mut found: Vec<String> =
            runs.map(|(method, count, seed)| identity(&suite.run(&cell(method, count, seed)).join(stage))).collect();
        found.sort();
        found.dedup();
        found.len()
    };
    assert_eq!((of("importance"), of("replace"), of("bundle"), of("return")), (1, 2, 4, 6));
    // Shared by link, not by copy.
    use std::os::unix::fs::MetadataExt as _;
    let file = suite.run(&cell("rank", 2, 1)).join("importance/importance.json");
    assert_eq!(std::fs::metadata(file).unwrap().nlink(), 9, "eight cells and the pool");
}

#[test]
fn a_cell_is_what_the_run_by_itself_is() {
    let (suite, _) = sweep();
    let name = cell("rank", 2, 1);
    let alone = behaviour::scratch();
    let config = suite.output().join("cells").join(format!("{name}.toml"));
    let output = format!("output={}", alone.path().display());
    behaviour::scaleot(["run", config.to_str().unwrap(), &output]).expect(0);
    for stage in ["importance", "bundle", "return", "evaluate-zero-shot", "evaluate-plug-in"] {
        assert_eq!(identity(&alone.path().join(stage)), identity(&suite.run(&name).join(stage)), "{stage}");
        if !["bundle", "return"].contains(&stage) {
            assert_eq!(inputs(alone.path(), stage), inputs(&suite.run(&name), stage), "{stage}");
        }
    }
}

#[test]
fn figures_are_those_of_the_runs_and_say_what_their_error_is_over() {
    let (suite, _) = sweep();
    let record = suite.record("sweep");
    let point = point(&record, "uniform count=2");
    let loss = row(point, "answer_loss");
    let seeds =
        [0, 1].map(|seed| mean(&questions(suite, &cell("uniform", 2, seed), "evaluate-plug-in", "answer_loss")));
    let near = |found: &Value, expected: f64| {
        let found = found.as_f64().unwrap();
        assert!((found - expected).abs() < 1e-9, "found {found}, expected {expected}");
    };
    near(&loss["figures"]["plug_in"]["mean"], mean(&seeds));
    // Of two values the standard error is half their distance.
    near(&loss["figures"]["plug_in"]["stderr"], (seeds[0] - seeds[1]).abs() / 2.0);
    assert_eq!(loss["figures"]["plug_in"]["over"], "seeds");
    // Both seeds have the one untuned model: two equal values would pretend that there is no error.
    assert_eq!(loss["figures"]["zero_shot"]["over"], "questions");
    let zero_shot = questions(suite, &cell("uniform", 2, 0), "evaluate-zero-shot", "answer_loss");
    let squares: f64 = zero_shot.iter().map(|value| (value - mean(&zero_shot)).powi(2)).sum();
    near(&loss["figures"]["zero_shot"]["stderr"], (squares / 7.0 / 8.0).sqrt());
    let tuned =
        [0, 1].map(|seed| mean(&questions(suite, &cell("uniform", 2, seed), "evaluate-emulator-tuned", "answer_loss")));
    near(&loss["gap"]["mean"], mean(&tuned) - mean(&seeds));
    let bundle = std::fs::metadata(suite.run(&cell("uniform", 2, 0)).join("bundle/emulator.safetensors")).unwrap();
    assert!(point["bundle_bytes"].as_u64().unwrap() > bundle.len());
    // What all cells rest on counts once in the whole, and once in each method.
    let seconds = |value: &Value| value["seconds"].as_f64().unwrap();
    let each: f64 = record["points"].as_array().unwrap().iter().map(seconds).sum();
    assert!(seconds(&record) > 0.0 && seconds(&record) < each);
}

#[test]
fn the_paired_test_is_of_questions_averaged_over_seeds() {
    let (suite, _) = sweep();
    let record = suite.record("sweep");
    let pairs = record["comparisons"].as_array().unwrap();
    assert_eq!(pairs.len(), 2 * 6, "two metrics, six pairs");
    let pair = pairs
        .iter()
        .find(|pair| {
            pair["metric"] == "answer_loss" && pair["first"] == "uniform count=1" && pair["second"] == "rank count=2"
        })
        .unwrap();
    let of = |method: &str, count: usize| {
        let seeds = [0, 1].map(|seed| questions(suite, &cell(method, count, seed), "evaluate-plug-in", "answer_loss"));
        (0..8).map(|question| (seeds[0][question] + seeds[1][question]) / 2.0).collect::<Vec<f64>>()
    };
    let differences: Vec<f64> = of("uniform", 1).iter().zip(of("rank", 2)).map(|(a, b)| a - b).collect();
    let squares: f64 = differences.iter().map(|value| (value - mean(&differences)).powi(2)).sum();
    let t = mean(&differences) / (squares / 7.0 / 8.0).sqrt();
    assert!((pair["difference"].as_f64().unwrap() - mean(&differences)).abs() < 1e-9);
    assert!((pair["t"].as_f64().unwrap() - t).abs() < 1e-6, "{pair}");
    assert_eq!((pair["questions"].as_u64(), pair["seeds"].as_u64()), (Some(8), Some(2)));
    let p = pair["p"].as_f64().unwrap();
    assert!(p > 0.0 && p <= pair["p_holm"].as_f64().unwrap());
}

#[test]
fn the_tables_have_every_point_and_the_files_say_the_same() {
    let (suite, outcome) = sweep();
    for word in ["uniform count=1", "rank count=2", "zero-shot", "gap", "bundle", "dominated by", "Holm"] {
        assert!(outcome.stdout.contains(word), "{word}: {}", outcome.stdout);
    }
    assert!(outcome.stdout.contains("8 of 8 cells finished"));
    let page = std::fs::read_to_string(suite.output().join("sweep.md")).unwrap();
    assert!(page.starts_with("# suite\n") && page.contains("| uniform count=1 |"), "{page}");
    let table = std::fs::read_to_string(suite.output().join("sweep.csv")).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    // Four points, three metrics, four columns and the gap.
    assert_eq!(lines.len(), 1 + 4 * 3 * 5);
    assert!(lines[1].starts_with("uniform,replace.count=1,arc_easy,acc,zero_shot,"), "{}", lines[1]);
}

#[test]
fn the_report_is_one_page_that_needs_nothing_else() {
    let (suite, _) = sweep();
    let page = std::fs::read_to_string(suite.output().join("report.html")).unwrap();
    let outside = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for word in ["http", "<script", "<link", "<img", "url(", "@import"] {
        assert!(!outside.contains(word), "{word}");
    }
    // The frontier, two costs, one importance with scores, the tuning: what there is, no more.
    let record = suite.record("sweep");
    let label = |text: &str| page.contains(&format!("<td>{text}</td>"));
    for point in record["points"].as_array().unwrap() {
        assert!(label(point["label"].as_str().unwrap()), "{point}");
    }
    for head in ["Methods", "Cost", "Privacy and utility", "Bundle and time", "Training", "Paired differences"] {
        assert!(page.contains(&format!("<h2>{head}")), "{head}");
    }
    assert!(page.contains("tuning on arc_easy") && !page.contains("<h2>Missing</h2>"));
    let loss = &row(point(&record, "uniform count=1"), "answer_loss")["figures"]["plug_in"];
    let figure = format!("{:.3} ± {:.3}", loss["mean"].as_f64().unwrap(), loss["stderr"].as_f64().unwrap());
    assert!(page.contains(&figure), "{figure}");
}

#[test]
fn a_choice_runs_nothing_and_says_why() {
    let (suite, _) = sweep();
    let choice = suite.verb("choose", &["--max-bundle", "1MiB"]).expect(2);
    assert!(choice.stdout.starts_with("no point satisfies all bounds\n"), "{}", choice.stdout);
    assert_eq!(choice.stdout.matches("excluded: ").count(), 4);
    assert!(choice.stdout.contains("is above 1.0 MiB"), "{}", choice.stdout);
    let choice = suite.verb("choose", &["--max-emulator", "1", "--min-plug-in", "0", "--json"]).expect(0).json();
    let record = suite.record("sweep");
    let best = record["points"].as_array().unwrap().iter().map(|point| point["standing"]["plug_in"].as_f64().unwrap());
    assert_eq!(choice["chosen"]["plug_in"].as_f64().unwrap(), best.fold(0.0, f64::max));
    // With another override none of the cells is what was run.
    let stale = suite.verb("choose", &["tune.learning_rate=1e-4"]).expect(2);
    assert_eq!(stale.stdout.matches("2 of its cells missing").count(), 4, "{}", stale.stdout);
    suite.verb("choose", &["--max-bundle", "many"]).expect(2);
}
