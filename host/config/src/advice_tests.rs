//! Whatever key a message of ours names, a config has: found by reading the program's own string literals.

use super::super::show;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Names with a dot that are files or parts of a model, and no keys.
const EXTENSIONS: [&str; 7] = ["rs", "json", "jsonl", "svg", "safetensors", "state", "toml"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" && name != "template" {
            sources(&path, found);
        } else if name.ends_with(".rs") && !name.ends_with("_tests.rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// The string literals before the tests of a file.
fn literals(text: &str) -> Vec<String> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut literals = Vec::new();
    let mut rest = code.chars();
    while rest.by_ref().any(|c| c == '"') {
        let mut literal = String::new();
        while let Some(c) = rest.next() {
            match c {
                '"' => break,
                '\\' => drop(rest.next()),
                other => literal.push(other),
            }
        }
        literals.push(literal);
    }
    literals
}

/// `(whole keys, last parts of keys, sections)`.
fn known() -> (BTreeSet<String>, BTreeSet<String>, BTreeSet<String>) {
    let (mut whole, mut last, mut sections) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let schema = show::schema();
    let properties = |schema: &Json| schema.get("properties").and_then(Json::as_object).cloned().unwrap_or_default();
    for (section, inner) in properties(&schema) {
        // An optional section is one of two alternatives.
        let parts = inner.get("anyOf").and_then(Json::as_array).cloned().unwrap_or_default();
        let keys = parts.iter().chain([&inner]).flat_map(properties).map(|(key, _)| key).collect::<BTreeSet<_>>();
        whole.extend(keys.iter().map(|key| format!("{section}.{key}")));
        if keys.is_empty() {
            last.insert(section)
        } else {
            sections.insert(section)
        };
        last.extend(keys);
    }
    (whole, last, sections)
}

#[test]
fn a_message_names_no_key_that_does_not_exist() {
    let (whole, last, sections) = known();
    assert!(whole.contains("tune.batch_size") && whole.contains("compress.use") && last.contains("seed"), "{whole:?}");
    let mut files = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    sources(&root.join("host"), &mut files);
    let (mut told, mut seen) = (Vec::new(), 0);
    // The table of old keys names keys that are no more.
    for file in files.into_iter().filter(|file| !file.ends_with("config/src/renamed.rs")) {
        for literal in literals(&std::fs::read_to_string(&file).unwrap()) {
            let words: Vec<&str> = literal
                .split(|c: char| !(c.is_ascii_lowercase() || "._`".contains(c) || c.is_ascii_uppercase()))
                .collect();
            for (index, word) in words.iter().enumerate() {
                let quoted = word.contains('`');
                let word = word.trim_matches(['`', '.']);
                let parts: Vec<&str> = word.split('.').collect();
                // `model.` begins names of tensors and parts of tokenizers as well.
                let is_key = parts.len() > 1 && sections.contains(parts[0]) && parts[0] != "model";
                if is_key && !EXTENSIONS.contains(&parts[1]) && !parts[1].is_empty() {
                    seen += 1;
                    if !whole.contains(&parts[..2].join(".")) {
                        told.push(format!("{}: {word}", file.display()));
                    }
                }
                let advises =
                    index > 0 && ["lower", "raise", "set"].contains(&words[index - 1].to_lowercase().as_str());
                // Variables of the environment are in capitals.
                let is_variable = word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
                let looks_like_a_key = parts.len() == 1 && (quoted || word.contains('_')) && !is_variable;
                if advises && looks_like_a_key {
                    seen += 1;
                    if !last.contains(word) {
                        told.push(format!("{}: {literal}", file.display()));
                    }
                }
            }
        }
    }
    assert!(seen > 40, "only {seen} keys were found in messages");
    assert_eq!(told, [""; 0]);
}
