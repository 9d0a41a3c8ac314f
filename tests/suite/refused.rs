//! Bad suites: exit 2, by file and line, before anything is run.

use super::support::Suite;

const PLAIN: &str = "seeds = [0]\n[[method]]\nname = \"uniform\"\nconfig = \"METHOD\"\n";

/// What a suite with these lines says, its scratch paths replaced.
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
        ("axis out of range", with("[axes]\n\"replace.replace_ratio\" = [0.25, 1.5]\n")),
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
