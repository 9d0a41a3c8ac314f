//! Templates of lm-evaluation-harness 0.4.13 as its YAML files have them, on lines as the hub has them.
//!
//! The expected contexts, choices and right answers are what the harness itself makes of the same line
//! (`ConfigurableTask.doc_to_text`, `doc_to_choice`, `doc_to_target`).

use std::fs;

use super::question::Question;
use super::task::{Split, Task};

/// The question of one line under three templates, written as TOML values.
fn question(text: &str, choice: &str, target: &str, line: &str) -> Result<Question, String> {
    let task = format!(
        "name = \"t\"\nversion = 1.0\nlicence = \"none\"\nchance = 0.5\nmetrics = [\"acc\"]\nfiles = \"{{split}}.jsonl\"\ntest_split = \"test\"\n\
         doc_to_text = {text}\ndoc_to_choice = {choice}\ndoc_to_target = {target}\n"
    );
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("test.jsonl"), line).unwrap();
    let shorten =
        |error: super::error::DataError| error.to_string().replace(&format!("{}/", folder.path().display()), "");
    let mut questions =
        Task::parse(&task, "t.toml").map_err(shorten)?.questions(folder.path(), Split::Test).map_err(shorten)?;
    Ok(questions.remove(0))
}

fn check(templates: [&str; 3], line: &str, context: &str, answers: &[&str], gold: usize) {
    let [text, choice, target] = templates;
    let question = question(text, choice, target, line).unwrap();
    let found: Vec<(&str, &str)> =
        question.choices.iter().map(|choice| (choice.context.as_str(), &choice.continuation[1..])).collect();
    let expected: Vec<(&str, &str)> = answers.iter().map(|answer| (context, *answer)).collect();
    assert_eq!((found, question.gold), (expected, gold), "{templates:?}");
}

const ARC: &str = r#"{"id": "M_1", "question": "Q?", "choices": {"text": ["a", "b", "c"], "label": ["1", "2", "3"]}, "answerKey": "2"}"#;

#[test]
fn arc_and_openbookqa() {
    let labelled = "\"{{choices.label.index(answerKey)}}\"";
    let text = r#""Question: {{question}}\nAnswer:""#;
    check([text, "\"{{choices.text}}\"", labelled], ARC, "Question: Q?\nAnswer:", &["a", "b", "c"], 1);
    let open = r#"{"question_stem": "The sun is", "choices": {"text": ["hot", "cold"], "label": ["A", "B"]}, "answerKey": " B"}"#;
    let target = "\"{{choices.label.index(answerKey.lstrip())}}\"";
    check(["\"question_stem\"", "\"{{choices.text}}\"", target], open, "The sun is", &["hot", "cold"], 1);
}

#[test]
fn piqa_sciq_and_boolq() {
    let piqa = r#"{"goal": "Boil", "sol1": "one", "sol2": "two", "label": 1}"#;
    let templates = [r#""Question: {{goal}}\nAnswer:""#, "\"{{[sol1, sol2]}}\"", "\"label\""];
    check(templates, piqa, "Question: Boil\nAnswer:", &["one", "two"], 1);
    let sciq = r#"{"support": " Life.", "question": "Who?", "distractor1": "x", "distractor2": "y", "distractor3": "z", "correct_answer": "w"}"#;
    let templates = [
        r#""{{support.lstrip()}}\nQuestion: {{question}}\nAnswer:""#,
        "\"{{[distractor1, distractor2, distractor3, correct_answer]}}\"",
        "3",
    ];
    check(templates, sciq, "Life.\nQuestion: Who?\nAnswer:", &["x", "y", "z", "w"], 3);
    let boolq = r#"{"passage": "P.", "question": "is it", "label": 1}"#;
    let templates = [r#""{{passage}}\nQuestion: {{question}}?\nAnswer:""#, "[\"no\", \"yes\"]", "\"label\""];
    check(templates, boolq, "P.\nQuestion: is it?\nAnswer:", &["no", "yes"], 1);
}

#[test]
fn social_iqa_and_commonsense_qa() {
    let siqa = r#"{"context": "C.", "question": "Why?", "answerA": "x", "answerB": "y", "answerC": "z", "label": "3"}"#;
    let templates =
        [r#""Q: {{context}} {{question}}\nA:""#, "\"{{[answerA, answerB, answerC]}}\"", "\"{{ (label|int) - 1 }}\""];
    check(templates, siqa, "Q: C. Why?\nA:", &["x", "y", "z"], 2);
    let csqa =
        r#"{"question": " Where? ", "choices": {"label": ["A", "B"], "text": ["here", "there"]}, "answerKey": "B"}"#;
    let templates = [
        r#""Question: {{ question.strip() }}\nA. {{choices['text'][0]}}\nB. {{choices['text'][1]}}\nAnswer:""#,
        "['A', 'B']",
        "\"answerKey\"",
    ];
    check(templates, csqa, "Question: Where?\nA. here\nB. there\nAnswer:", &["A", "B"], 1);
}

#[test]
fn python_in_templates() {
    let target = "\"{{ 'ABC'[answerKey|int - 1] if answerKey|string in '123' else answerKey }}\"";
    let text = r#""{{question[:-1].lower().replace('q', 'w')}}{% if choices.text|length > 2 %} {{choices.text[2]}}{% endif %}""#;
    check([text, "['A', 'B', 'C']", target], ARC, "w c", &["A", "B", "C"], 1);
    let text = r#""{{ '{}: {}'.format(id, question.split('?')[0]) | trim }}""#;
    let rendered = "\"['{{choices.text[0]}}', '{{choices.text[1]}}']\"";
    check([text, rendered, "\"{{choices.text[answerKey|int - 1]}}\""], ARC, "M_1: Q", &["a", "b"], 1);
    let listed = "\"{{choices.text|map('upper')|list}}\"";
    check(["\"{{question}}\"", listed, "\"{{id.index('1') - 2}}\""], ARC, "Q?", &["A", "B", "C"], 0);
}

#[test]
fn digits_of_a_field_are_no_index() {
    // In the harness the gold of this is -100, and every answer counts as wrong.
    let refused = question("\"question\"", "\"{{choices.text}}\"", "\"answerKey\"", ARC).unwrap_err();
    assert_eq!(
        refused,
        "test.jsonl, line 1: field `answerKey`: found the text \"2\", expected the text of a choice, or an index from 0 to 2 as a number. \
         If the text is an index, write \"{{answerKey}}\"; if it counts from 1, \"{{answerKey|int - 1}}\"; \
         if it is a label, \"{{choices.label.index(answerKey)}}\""
    );
    let flat = question("\"question\"", "\"choices\"", "0", ARC).unwrap_err();
    assert_eq!(
        flat,
        "test.jsonl, line 1: field `choices`: found an object of 2 fields, expected text, or a list of texts; for ARC's lines write \"{{choices.text}}\""
    );
    let absent = question("\"question\"", "\"{{choices.text}}\"", "\"{{choices.label.index('9')}}\"", ARC).unwrap_err();
    assert!(
        absent.contains("the template `doc_to_target` failed: invalid operation: `index`: \"9\" is not in"),
        "{absent}"
    );
}
