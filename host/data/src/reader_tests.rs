//! Task files against the real request strings, and bad data sets, numbered 52 to 58.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::DataError;
use super::question::Question;
use super::task::{Split, Task};
use super::task_set::TaskSet;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/requests")
}

const TASK: &str = r#"
name = "small"
version = 1.0
licence = "none"
chance = 0.5
metrics = ["acc"]
files = "small-{split}.jsonl"
training_split = "train"
doc_to_text = "Q: {{question}}"
doc_to_choice = "choices"
doc_to_target = "gold"
"#;

/// The questions of a file with this content, under a task that reads `question`, `choices`, `gold`.
fn read(content: &[u8]) -> Result<Vec<Question>, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small-train.jsonl"), content).unwrap();
    let shorten = |error: DataError| error.to_string().replace(&format!("{}/", folder.path().display()), "");
    Task::parse(TASK, "small.toml").unwrap().questions(folder.path(), Split::Train).map_err(shorten)
}

fn refusal(content: &str) -> String {
    read(content.as_bytes()).unwrap_err()
}

/// Every built-in task gives the context and continuation that ai2-olmo scores.
#[test]
fn built_in_tasks_give_the_published_requests() {
    let tasks = TaskSet::built_in().unwrap();
    assert_eq!(tasks.names().count(), 11);
    for name in tasks.names() {
        let expected = fs::read(fixtures().join(name).join("requests.json")).unwrap();
        let expected: Vec<Vec<(String, String)>> = serde_json::from_slice(&expected).unwrap();
        let questions = tasks.get(name).unwrap().questions(&fixtures(), Split::Validation).unwrap();
        let found: Vec<Vec<(String, String)>> = questions
            .iter()
            .map(|question| question.choices.iter().map(|c| (c.context.clone(), c.continuation.clone())).collect())
            .collect();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn the_right_choice_is_found_by_index_or_text() {
    let question = |task: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("small-train.jsonl"),
            r#"{"question": "q", "choices": ["x", "y"], "gold": 1, "word": "y", "label": "1"}"#,
        )
        .unwrap();
        Task::parse(task, "small.toml").unwrap().questions(folder.path(), Split::Train).unwrap().remove(0)
    };
    for target in ["gold", "{{gold}}", "word", "{{word}}", "{{label}}", "label|int", "gold - 0"] {
        assert_eq!(question(&TASK.replace("\"gold\"", &format!("\"{target}\""))).gold, 1, "{target}");
    }
    let listed = question(&TASK.replace("\"choices\"", "\"{{['no', 'yes']}}\""));
    assert_eq!(listed.choices[1].continuation, " yes");
    assert_eq!((listed.id.as_str(), listed.choices[1].characters), ("1", 3));
}

#[test]
fn no_52_missing_empty_blank_one_byte() {
    let missing =
        Task::parse(TASK, "t").unwrap().questions(Path::new("nowhere"), Split::Train).unwrap_err().to_string();
    assert!(missing.starts_with("nowhere/small-train.jsonl: cannot read: No such file"), "{missing}");
    assert_eq!(refusal(""), "small-train.jsonl: no question in it (0 bytes). Fetch the data set again");
    assert_eq!(refusal("\n \r\n\n"), "small-train.jsonl: no question in it (5 bytes). Fetch the data set again");
    let one_byte =
        "small-train.jsonl, line 1: not a JSON object: found the number 7. Expected one question a line (JSON Lines)";
    assert_eq!(refusal("7"), one_byte);
}

#[test]
fn no_53_bad_lines_and_fields() {
    let good = r#"{"question": "q", "choices": ["x", "y"], "gold": 0}"#;
    let second = |line: &str| refusal(&format!("{good}\n{line}\n"));
    assert_eq!(
        second("{\"question\": oops}"),
        "small-train.jsonl, line 2: not a JSON object: column 14: found \"{\"question\": oops}\". Expected one question a line (JSON Lines)"
    );
    let field = |line: &str| second(line).replace("small-train.jsonl, line 2: ", "");
    assert_eq!(
        field(r#"{"query": "q", "choices": ["x", "y"], "gold": 0}"#),
        "field `question`: found nothing, expected text without NUL"
    );
    for (value, found) in
        [("null", "null"), ("3", "the number 3"), ("[1]", "a list of 1"), ("\"a\\u0000\"", "the text \"a\\u{0}\"")]
    {
        let line = format!(r#"{{"question": {value}, "choices": ["x", "y"], "gold": 0}}"#);
        assert_eq!(field(&line), format!("field `question`: found {found}, expected text without NUL"));
    }
    for (value, found) in [
        ("null", "field `choices`: found null, expected text, or a list of texts"),
        ("[\"x\", 2]", "field `choices`: found the number 2 in the list, expected a list of texts without NUL"),
        ("[\"x\"]", "field `doc_to_choice`: found 1 choices, expected at least 2"),
        ("\"x\"", "field `doc_to_choice`: found \"x\", expected a list of texts"),
    ] {
        assert_eq!(field(&format!(r#"{{"question": "q", "choices": {value}, "gold": 0}}"#)), found);
    }
}

#[test]
fn no_54_utf8_nul_long_lines_and_line_ends() {
    let good = r#"{"question": "q", "choices": ["x", "y"], "gold": 0}"#;
    let mixed = read(format!("{good}\r\n{good}\n\r\n{good}").as_bytes()).unwrap();
    assert_eq!((mixed.len(), mixed[2].id.as_str()), (3, "4"));
    let mut bytes = format!("{good}\n{{\"question\": \"").into_bytes();
    bytes.extend(b"\xff\"}");
    assert_eq!(
        read(&bytes).unwrap_err(),
        "small-train.jsonl, line 2: not UTF-8 from byte 14 of the line. Save the file as UTF-8"
    );
    let marked = read(format!("\u{feff}{good}\n{good}").as_bytes()).unwrap();
    assert_eq!((marked.len(), marked[0].choices[0].context.as_str()), (2, "Q: q"));
    assert_eq!(
        read(b"\xff\xfe{\0}\0").unwrap_err(),
        "small-train.jsonl: found UTF-16, expected UTF-8; save the file as UTF-8"
    );
    assert_eq!(
        read(b"\x1f\x8b\x08\0").unwrap_err(),
        "small-train.jsonl: looks like a gzip archive, expected one question a line (JSON Lines). Unpack it, or save its text as UTF-8"
    );
    assert!(refusal("{\"question\": \"\0\"}").starts_with("small-train.jsonl, line 1: not a JSON object: column 15"));
    assert_eq!(
        refusal(&"x".repeat(5 << 20)),
        "small-train.jsonl, line 1: longer than 4194304 bytes. Expected one question a line (JSON Lines)"
    );
}

#[test]
fn no_58_a_label_outside_the_choices() {
    for (gold, found) in [("2", "the number 2"), ("-1", "the number -1"), ("\"z\"", "\"z\""), ("1.5", "the number 1.5")]
    {
        let line = format!(r#"{{"question": "q", "choices": ["x", "y"], "gold": {gold}}}"#);
        assert_eq!(
            refusal(&line),
            format!("small-train.jsonl, line 1: field `gold`: found {found}, expected a choice, 0 to 1")
        );
    }
    let absent = refusal(r#"{"question": "q", "choices": ["x", "y"]}"#);
    assert_eq!(
        absent,
        "small-train.jsonl, line 1: field `gold`: found nothing, expected the right choice: its index or text"
    );
}

#[test]
fn bad_task_files_are_refused() {
    let message = |text: &str| Task::parse(text, "small.toml").unwrap_err().to_string();
    let unknown = message(&format!("{TASK}\ndoc_to_txt = \"x\""));
    assert!(
        unknown.contains("unknown field `doc_to_txt`")
            && unknown.starts_with("small.toml: TOML parse error at line 13"),
        "{unknown}"
    );
    let replaced = |old: &str, new: &str| message(&TASK.replace(old, new));
    assert_eq!(
        replaced("0.5", "1.5"),
        "small.toml: key `chance`: found 1.5, expected a number from 0 up to, not including, 1"
    );
    assert_eq!(
        replaced("small-{split}", "../x"),
        "small.toml: key `files`: found \"../x.jsonl\", expected a path inside the tasks folder, as \"my_task/{split}.jsonl\""
    );
    let template = replaced("{{question}}", "{{question");
    assert!(
        template.starts_with(
            "small.toml: key `doc_to_text`: found \"Q: {{question\", expected a Jinja template (syntax error"
        ),
        "{template}"
    );
    assert!(replaced("training_split = \"train\"", "").contains("key `validation_split`: found no split"));
}

#[test]
fn a_user_adds_a_task_by_a_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small.toml"), TASK).unwrap();
    fs::write(folder.path().join("notes.txt"), "not a task").unwrap();
    fs::write(folder.path().join("run.toml"), "version = 1\noutput = \"runs/x\"").unwrap();
    fs::write(folder.path().join("marked.toml"), format!("\u{feff}{}", TASK.replace("small", "marked"))).unwrap();
    let shorten = |error: DataError| error.to_string().replace(&format!("{}/", folder.path().display()), "");
    let known =
        |name: &str| TaskSet::with_folder(folder.path()).unwrap().get(name).map(|task| task.chance).map_err(shorten);
    assert_eq!((known("small").unwrap(), known("marked").unwrap()), (0.5, 0.5));
    // A file that is no task is told of where somebody asks for it.
    let no_task = known("run").unwrap_err();
    assert!(
        no_task.starts_with("run.toml: TOML parse error at line 2") && no_task.contains("unknown field `output`"),
        "{no_task}"
    );
    // A second file of this name, and one of a built-in task's.
    fs::write(folder.path().join("twin.toml"), TASK).unwrap();
    fs::write(folder.path().join("copa.toml"), TASK.replace("\"small\"", "\"copa\"")).unwrap();
    assert_eq!(
        known("copa").unwrap_err(),
        "copa.toml: key `name`: found \"copa\", which a task of the program has, expected a name of its own"
    );
    assert_eq!(
        known("small").unwrap_err(),
        "twin.toml: key `name`: found \"small\", which small.toml has, expected a name of its own"
    );
    assert_eq!(known("arc_easy").unwrap(), 0.25);
    let absent = TaskSet::with_folder(&folder.path().join("none")).unwrap();
    assert_eq!(absent.names().count(), 11);
    let tasks = TaskSet::built_in().unwrap();
    let near = tasks.get("arc_esay").unwrap_err().to_string();
    assert!(
        near.starts_with("no task `arc_esay`, did you mean `arc_easy`. Known: arc_challenge, arc_easy, boolq"),
        "{near}"
    );
    let split = tasks.get("copa").unwrap().file(Path::new("x"), Split::Train).unwrap_err().to_string();
    assert_eq!(split, "task `copa` names no train split. It has: validation");
}
