//! Files that are no running text, wherever a text is asked for; questions that cannot be scored; a table without a row.

use super::{config, evaluated, model, on, own_task};
use behaviour::{repository, scaleot, scratch};
use std::fs;
use std::path::Path;

const LINE: &str = "{\"text\": \"Rain falls.\", \"id\": 1}\n";

fn said(code: i32, arguments: &[&str], folder: &Path) -> String {
    scaleot(arguments).expect(code).stderr.replace(&format!("{}/", folder.display()), "")
}

#[test]
fn data_files_are_no_text() {
    let folder = scratch();
    let path = |name: &str| folder.path().join(name);
    let files: [(&str, Vec<u8>, &str); 9] = [
        ("private.jsonl", LINE.repeat(3).into(), "looks like JSON Lines, expected running text"),
        ("private.txt", LINE.repeat(9000).into(), "looks like JSON Lines, expected running text"),
        (
            "private.json",
            b"[{\"text\": \"Rain falls.\"},\n {\"text\": \"It stops.\"}]".to_vec(),
            "looks like JSON, expected",
        ),
        ("private.csv", b"id,text\n1,\"Rain falls, and stops.\"\n".to_vec(), "a table of comma-separated values"),
        ("private.tsv", b"question\tanswer\nWhat falls?\tRain\n".to_vec(), "a table of tab-separated values"),
        ("private.parquet", b"PAR1\x15\x04\x15\x00".to_vec(), "a Parquet file"),
        ("private.gz", b"\x1f\x8b\x08\x00\x00".to_vec(), "a gzip archive"),
        ("wide.txt", b"\xff\xfeR\0a\0i\0n\0".to_vec(), "found UTF-16, expected UTF-8; save the file as UTF-8"),
        ("binary.txt", b"Rain falls.\0\x01".to_vec(), "a NUL at byte 11"),
    ];
    for (name, content, expected) in files {
        let file = path(name);
        fs::write(&file, content).unwrap();
        let file = file.display().to_string();
        let scored = said(3, &["evaluate", "--model", "tests/fixtures/ci-model", "--text", &file], folder.path());
        assert!(scored.contains(&format!("{name}: ")) && scored.contains(expected), "{scored}");
        let output = format!("output={}", path("run").display());
        let keys: &[&str] = match name {
            "private.jsonl" => &["data.text", "public_data.text", "evaluate.text"],
            "binary.txt" => &["public_data.text"],
            _ => &[],
        };
        for key in keys {
            let named = format!("{key}=[\"{file}\"]");
            let told = said(3, &["run", "configs/ci.toml", &output, &named], folder.path());
            assert!(told.contains(expected), "{key}: {told}");
            // What the beginning of a file shows is told by the key, before any stage.
            assert!(told.contains(&format!("key `{key}[0]`")) || name == "binary.txt", "{key}: {told}");
        }
    }
}

#[test]
fn prose_markdown_and_code_are_text() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let code = fs::read_to_string(repository().join("tests/data.rs")).unwrap();
    let folder = scratch();
    for (name, text) in [("a.md", readme), ("b.rs", code.clone()), ("c.txt", format!("{{ [1] {LINE} }} {code}"))] {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        let scored = evaluated(
            &repository().join("tests/fixtures/ci-model"),
            &["--text", file.to_str().unwrap(), "--limit", "1"],
        );
        assert!(scored["nll"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn questions_that_cannot_be_scored_are_named() {
    let folder = scratch();
    let tasks = folder.path().join("tasks");
    let model = model(folder.path(), "{}");
    let long = "x".repeat(70);
    own_task(&tasks, "own", &format!("{{\"context\": \"Q\", \"choices\": [\"hot\", \"{long}\"], \"gold\": 0}}\n"));
    let told = said(
        3,
        &["evaluate", "--model", model.to_str().unwrap(), "--tasks-folder", tasks.to_str().unwrap(), "--task", "own"],
        folder.path(),
    );
    // 70 letters and the space before them; the short answer stands first and fits.
    assert!(
        told.contains("question \"1\", answer \" xxxx") && told.contains("71 tokens do not fit in a context of 64"),
        "{told}"
    );
}

#[test]
fn nothing_to_evaluate_is_told() {
    let folder = scratch();
    let (model, tasks) = (model(folder.path(), "{}"), folder.path().join("tasks"));
    let text = folder.path().join("text.txt");
    fs::write(&text, "The rain falls on the hill. ".repeat(99)).unwrap();
    let config = config(folder.path(), &model, &tasks);
    let own =
        fs::read_to_string(&config).unwrap().replace("task = \"own\"", &format!("text = [\"{}\"]", text.display()));
    fs::write(&config, own).unwrap();
    for verb in ["evaluate", "run"] {
        let told = on(&[verb], &config, &["evaluate.text=[]"]).expect(2).stderr;
        assert!(told.contains("nothing to evaluate: `evaluate.tasks` and `evaluate.text` are empty"), "{told}");
    }
    assert!(!folder.path().join("run").exists());
}
