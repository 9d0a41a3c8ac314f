//! 1 to 15: configs, exit 2.

use super::table::Table;

/// The ordinary config with one line changed.
fn changed(from: &str, to: &str) -> String {
    let text = std::fs::read_to_string(behaviour::repository().join(behaviour::CONFIG)).unwrap();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

#[test]
fn a_config_is_refused_by_file_line_and_key() {
    let mut table = Table::new();
    let steps = "steps = 20";
    let cases: &[(&str, &str, &str)] = &[
        ("1 unknown key", "\ncount = 2", "\ncuont = 2"),
        ("1 unknown key of the owner's training", "[adapter]\n", "[train]\nstep = 20\n\n[adapter]\n"),
        ("2 key twice", steps, "steps = 20\nsteps = 30"),
        ("3 not a number", "learning_rate = 1e-3", "learning_rate = nan"),
        ("4 below the range", "\ncount = 2", "\nratio = -0.1"),
        ("4 above the range", "\ncount = 2", "\nratio = 1.0000001"),
        ("4 infinite", "learning_rate = 1e-3", "learning_rate = inf"),
        ("6 odd adapter layers", "\nlayers = 4", "\nlayers = 3"),
        ("6 no adapter layers", "\nlayers = 4", "\nlayers = 0"),
        ("7 a string for a number", "learning_rate = 1e-3", "learning_rate = \"1e-4\""),
        ("8 batch of none", "batch_size = 2", "batch_size = 0"),
        ("8 steps beyond 63 bits", steps, "steps = 9223372036854775808"),
        ("8 training steps below 0", "[adapter]\n", "[train]\nsteps = -1\n\n[adapter]\n"),
        ("8 windows of one token", "[evaluate]\n", "[evaluate]\nblock_length = 1\n"),
        ("9 negative seed", "version = 1", "version = 1\nseed = -1"),
        ("10 no such plugin", "use = \"offsite-tuning/uniform\"", "use = \"no-such/uniform\""),
        ("10 wrong kind", "use = \"offsite-tuning/uniform\"", "use = \"scaleot/selective-rank\""),
        ("10 no such strategy", "use = \"offsite-tuning/uniform\"", "use = \"offsite-tuning/unifrom\""),
        ("11 unknown option", "[adapter]\n", "[adapter]\noptions = { depth = 3 }\n"),
        ("12 model is missing", "path = \"tests/fixtures/ci-model\"", "path = \"no/such/model\""),
        ("12 model is a file", "path = \"tests/fixtures/ci-model\"", "path = \"Makefile\""),
        (
            "12 text is a device",
            "text = [\"tests/fixtures/text/hellaswag-train.txt\"]\nlimit",
            "text = [\"/dev/null\"]\nlimit",
        ),
        ("12 text is missing", "[public_data]\ntext = [\"tests/", "[public_data]\ntext = [\"toasts/"),
        ("12 out of the folder", "path = \"tests/fixtures/ci-model\"", "path = \"../../model\""),
        ("13 NUL", "output = \"runs/ci\"", "output = \"runs/c\\u0000i\""),
        ("15 newer version", "version = 1", "version = 2"),
        ("no such task", "task = \"arc_easy\"", "task = \"arc_esy\""),
        ("task and text", "task = \"arc_easy\"", "task = \"arc_easy\"\ntext = [\"Makefile\"]"),
    ];
    let output = format!("output={}", table.run.display());
    for (name, from, to) in cases {
        let config = table.file("config.toml", changed(from, to));
        // NUL is tried in the very key that the override would replace.
        let overrides: &[&str] = if name.starts_with("13") { &[] } else { &[&output] };
        let arguments = ["run", config.to_str().unwrap()];
        table.case(name, 2, arguments.iter().chain(overrides));
    }
    insta::assert_snapshot!(table.said());
}

#[test]
fn a_file_that_is_no_config_is_refused_by_byte() {
    let mut table = Table::new();
    let text = std::fs::read_to_string(behaviour::repository().join(behaviour::CONFIG)).unwrap();
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut marked = vec![0xef, 0xbb, 0xbf];
    marked.extend(text.as_bytes());
    let cases: [(&str, Vec<u8>); 6] = [
        ("13 empty", Vec::new()),
        ("13 byte-order mark", marked),
        ("13 UTF-16", [vec![0xff, 0xfe], utf16].concat()),
        ("13 not UTF-8", [b"version = 1 # ".to_vec(), vec![0xc3, 0x28]].concat()),
        ("13 fifty megabytes", b"[a]\n".repeat(13_000_000)),
        ("13 no TOML", b"version: 1\n".to_vec()),
    ];
    for (name, bytes) in cases {
        let config = table.file("config.toml", bytes);
        table.case(name, 2, ["run", config.to_str().unwrap()]);
    }
    table.case("12 missing", 2, ["run", "no/such/config.toml"]);
    table.case("12 a folder", 2, ["run", "configs"]);
    insta::assert_snapshot!(table.said());
}

#[test]
fn a_config_that_does_not_fit_its_model_is_refused_with_both_numbers() {
    let mut table = Table::new();
    table.verb("5 no middle layer stays", 2, "run", &["replace.count=4"]);
    table.verb("5 more than there are", 2, "run", &["replace.count=40"]);
    table.verb("5 a ratio that leaves none", 2, "run", &["replace.ratio=0.99"]);
    table.verb("6 as many as the model has", 2, "run", &["adapter.layers=8"]);
    table.verb("12 output in the model", 2, "run", &["output=tests/fixtures/ci-model/run"]);
    table.verb("14 output is the model", 2, "run", &["output=tests/fixtures/ci-model"]);
    table.verb("override without a value", 2, "run", &["tune.steps"]);
    table.verb("override of no key", 2, "run", &["tune.stpes=3"]);
    assert!(!behaviour::repository().join("tests/fixtures/ci-model/run").exists());
    insta::assert_snapshot!(table.said());
}
