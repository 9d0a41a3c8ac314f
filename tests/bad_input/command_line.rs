//! 83 to 89: the command line, exit 2 unless the machine is at fault (5).

use super::table::Table;
use behaviour::{CONFIG, finished_run, quick, scaleot, scratch, verb};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::process::Stdio;

#[test]
fn a_command_line_is_refused_in_a_sentence() {
    let mut table = Table::new();
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    table.case("83 unknown verb", 2, words("frobnicate"));
    table.case("83 no config", 2, words("run"));
    table.case("83 flag twice", 2, words("run configs/ci.toml --threads 1 --threads 2"));
    table.case("83 value missing", 2, words("run configs/ci.toml --threads"));
    table.case("83 flag behind two dashes", 2, words("run configs/ci.toml -- --json"));
    table.case("83 nothing to evaluate", 2, words("evaluate"));
    table.case("83 config and model", 2, words("evaluate configs/ci.toml --model tests/fixtures/ci-model"));
    table.case("83 model without a task", 2, words("evaluate --model tests/fixtures/ci-model"));
    table.case("83 unknown task", 2, words("evaluate --model tests/fixtures/ci-model --task arc_esy"));
    table.case("model missing", 3, words("evaluate --model no/such/model --task arc_easy"));
    table.case("verify nothing", 3, words("verify no/such/bundle"));
    table.case("verify a model", 3, words("verify tests/fixtures/ci-model"));
    table.verb("88 no such device", 2, "run", &["--device", "gpu"]);
    table.verb("89 a megabyte", 2, "run", &[&format!("seed={}", "9".repeat(100_000))]);
    table.case("89 not UTF-8", 2, [OsString::from("run"), OsString::from_vec(vec![0x66, 0xff])]);
    insta::assert_snapshot!(table.said());
}

#[test]
fn an_output_that_is_not_ours_is_left_alone() {
    let mut table = Table::new();
    let file = table.file("a-file", "text");
    let full = table.file("full/notes.txt", "mine");
    table.verb("84 a file", 5, "run", &[&format!("output={}", file.display())]);
    table.verb("84 not empty", 5, "run", &[&format!("output={}", full.parent().unwrap().display())]);
    table.verb("84 no permission", 5, "run", &["output=/proc/scaleot"]);
    assert_eq!(std::fs::read_dir(full.parent().unwrap()).unwrap().count(), 1);
    insta::assert_snapshot!(table.said());
}

#[test]
fn a_stage_out_of_order_names_the_verb_that_is_missing() {
    let mut table = Table::new();
    let fresh = table.folder.path().join("fresh");
    let output = format!("output={}", fresh.display());
    for verb in ["replace", "bundle", "tune", "plug-in", "export", "evaluate"] {
        let to = table.folder.path().join("exported");
        let more: &[&str] = if verb == "export" { &[&output, "--to", to.to_str().unwrap()] } else { &[&output] };
        // The zero-shot column needs nothing before it.
        let columns = "evaluate.columns=[\"emulator\"]";
        table.verb(&format!("86 {verb}"), 2, verb, &[more, &[columns]].concat());
    }
    table.verb("86 compress", 2, "compress", &[&output, "compress.use=scaleot/selective-rank"]);
    let columns = "evaluate.columns=[\"full_tuning\"]";
    table.verb("86 evaluate full tuning", 2, "evaluate", &[&output, columns]);
    insta::assert_snapshot!(table.said());
}

#[test]
fn an_absent_device_is_a_matter_of_the_machine() {
    let folder = scratch();
    let outcome = verb("run", folder.path(), &["--device", "cuda:63"]).expect(5);
    assert!(outcome.stderr.contains("device `cuda:63`"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("CUDA devices"), "{}", outcome.stderr);
}

#[test]
fn no_arguments_is_a_question_and_gets_the_help() {
    let outcome = scaleot([] as [&str; 0]).expect(2);
    assert!(outcome.stderr.contains("Usage: scaleot") && outcome.stdout.is_empty());
    let outcome = scaleot(["--help"]).expect(0);
    for verb in ["run", "tune", "plug-in", "verify", "plan", "doctor", "Exit status"] {
        assert!(outcome.stdout.contains(verb), "{verb}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_error_and_a_full_disk_is_one() {
    let arguments = ["config", "schema"];
    let mut child =
        behaviour::program::command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = behaviour::program::command(arguments).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: stdout: No space left"));
    // Nobody listens to stderr either.
    let mut arguments = vec!["run".to_owned(), CONFIG.to_owned()];
    let folder = scratch();
    behaviour::copy(finished_run(), folder.path());
    arguments.extend(quick(folder.path()));
    let mut child =
        behaviour::program::command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn json_on_stdout_is_json_even_when_it_goes_wrong() {
    let outcome = scaleot(["--json", "verify", "no/such/bundle"]).expect(3);
    let value = outcome.json();
    assert_eq!(value["exit_code"], 3);
    assert!(outcome.stderr.contains(value["error"].as_str().unwrap()));
}

#[test]
fn a_path_may_have_spaces_quotes_and_line_breaks() {
    let folder = scratch();
    let odd = folder.path().join("a b 'c' \"d\" é\n[31m");
    std::fs::create_dir(&odd).unwrap();
    let config = odd.join("my config.toml");
    std::fs::copy(behaviour::repository().join(CONFIG), &config).unwrap();
    let run = odd.join("run");
    let text = std::fs::read_to_string(&config).unwrap();
    let quoted = toml_string(run.to_str().unwrap());
    std::fs::write(&config, text.replace("\"runs/ci\"", &quoted)).unwrap();
    scaleot(["importance".as_ref(), config.as_os_str(), "--quiet".as_ref()]).expect(0);
    assert!(run.join("importance/manifest.json").is_file());
    // And a message about it drives no terminal and begins no line of its own.
    let outcome = scaleot(["replace".as_ref(), odd.join("none.toml").as_os_str()]).expect(2);
    assert!(!outcome.stderr.contains('\u{1b}'));
    assert!(outcome.stderr.lines().skip(1).all(|line| line.starts_with("  ")), "{}", outcome.stderr);
}

fn toml_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
