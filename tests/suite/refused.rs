//! Bad suites: exit 2, by file and line, before anything is run.

use super::support::Suite;

const PLAIN: &str = "seeds = [0]\n[[method]]\nname = \"uniform\"\nconfig = \"METHOD\"\n";

/// The program's words about a suite with these lines, its scratch paths replaced.
#[track_caller]
fn said(text: &str, more: &[&str]) -> String {
    let suite = Suite::new(text);
    let outcome = suite.verb("compare", more).expect(2);
    assert!(outcome.stdout.is_empty() && !suite.output().exists(), "{}", outcome.stdout);
    let scratch = suite.folder.path().display().to_string();
    let repository = behaviour::repository().display().to_string();
    outcome.stderr.replace(&scratch, "SCRATCH").replace(&repository, "REPOSITORY")
}

#[test]
fn a_suite_is_refused_by_file_line_and_key() {
    let with = |more: &str| format!("{PLAIN}{more}");
    let cases: Vec<(&str, String)> = vec![
        ("unknown key", PLAIN.replace("seeds", "sedes")),
        ("unknown key of a method", with("st = []\n")),
        ("no method", "seeds = [0]\nmethod = []\n".into()),
        ("config missing", PLAIN.replace("METHOD", "no/such.toml")),
        ("name twice", with("[[method]]\nname = \"uniform\"\nconfig = \"METHOD\"\n")),
        ("name with a slash", PLAIN.replace("\"uniform\"", "\"a/b\"")),
        ("no seeds", PLAIN.replace("[0]", "[]")),
        ("a seed twice", PLAIN.replace("[0]", "[0, 0]")),
        ("a negative seed", PLAIN.replace("[0]", "[-1]")),
        ("NaN", with("[axes]\n\"tune.learning_rate\" = [1e-3, nan]\n")),
        ("axis without values", with("[axes]\n\"tune.learning_rate\" = []\n")),
        ("axis value twice", with("[axes]\n\"tune.learning_rate\" = [1e-3, 1e-3]\n")),
        ("axis on an unknown key", with("[axes]\n\"tune.learning_rat\" = [1e-3]\n")),
        ("axis out of range", with("[axes]\n\"replace.ratio\" = [0.25, 1.5]\n")),
        ("axis of the suite's own", with("[axes]\n\"tune.seed\" = [1, 2]\n")),
        ("set of an unknown key", with("set = [\"tune.steps=3\", \"tune.stpes=4\"]\n")),
        ("set without a value", with("set = [\"tune.steps\"]\n")),
        ("rows of one config", with("[[method]]\nname = \"same\"\nconfig = \"METHOD\"\n")),
        ("not a strategy", with("set = [\"replace.use=offsite-tuning/layer-drip\"]\n")),
    ];
    let mut all = String::new();
    for (name, text) in &cases {
        all += &format!("{name}\n  {}\n", said(text, &[]).trim_end().replace('\n', "\n  "));
    }
    all += &format!("unknown task\n  {}", said(PLAIN, &["tasks=[\"arc_esy\"]"]));
    all += &format!("override of no key\n  {}", said(PLAIN, &["tune.stpes=3"]));
    all += &format!("override of the suite's own\n  {}", said(PLAIN, &["tune.seed=3"]));
    insta::assert_snapshot!(all);
}

#[test]
fn what_a_cell_would_be_refused_for_is_found_before_the_first() {
    let with = |more: &str| format!("{PLAIN}{more}");
    let mut all = String::new();
    for (name, text) in [
        (
            "a combination without meaning",
            with("[[method]]\nname = \"b\"\nconfig = \"METHOD\"\nset = [\"replace.use=shortgpt/layer-removal\"]\n"),
        ),
        ("a budget that does not fit", with("[axes]\n\"replace.count\" = [1, 4]\n")),
        (
            "an option that only its strategy refuses",
            with("set = [\"compress.use=edge-llm/layer-wise\", \"compress.options.bits=1\"]\n"),
        ),
    ] {
        all += &format!("{name}\n  {}\n", said(&text, &[]).trim_end().replace('\n', "\n  "));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn verbs_tell_suites_from_run_configs() {
    let suite = Suite::new(PLAIN);
    let path = suite.path();
    let path = path.to_str().unwrap();
    let valid = behaviour::scaleot(["config", "validate", path]).expect(0).stdout;
    assert!(valid.contains("a valid suite of 1 cells"), "{valid}");
    let broken = Suite::new(&PLAIN.replace("METHOD\"", "METHOD\"\nset = [\"importance.use=no-such/plugin\"]"));
    behaviour::scaleot(["config", "validate", broken.path().to_str().unwrap()]).expect(2);
    for verb in [&["run"][..], &["plan"], &["importance"], &["config", "show"]] {
        let told = behaviour::scaleot([verb, &[path]].concat()).expect(2).stderr;
        assert!(told.contains("found a suite, expected a run config; `scaleot compare`"), "{told}");
    }
    let told = behaviour::scaleot(["compare", behaviour::CONFIG]).expect(2).stderr;
    assert!(told.contains("found a run config, expected a suite; `scaleot run` takes it"), "{told}");
    // A suite's cells look for the lock in the working folder.
    let mut lock = behaviour::program::command(["plugin", "lock", path]);
    let locked = behaviour::outcome(
        lock.current_dir(suite.folder.path())
            .args(["--json", "--plugin-path"])
            .arg(behaviour::program().parent().unwrap()),
    );
    let locked = locked.expect(0).json();
    assert_eq!(
        (locked["lock"].as_str(), locked["locked"][0]["id"].as_str()),
        (Some("scaleot.lock"), Some("offsite-tuning"))
    );
    assert!(suite.folder.path().join("scaleot.lock").is_file());
}
