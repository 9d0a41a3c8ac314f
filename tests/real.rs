//! The real model against figures made with Transformers (spec of the conversion): accuracies and perplexity within one question.
//!
//! SmolLM2-135M-Instruct, fp32. ARC-Easy validation: 298 of 570 right. BoolQ validation passages: 2.925 nats a token on the
//! first 24 windows of 1024. Run with `make test-real`; it takes some minutes.

use behaviour::scaleot;

const MODEL: &str = ".assets/models/smollm2-135m-instruct";

#[test]
fn arc_easy_accuracy_within_one_question() {
    let arguments = ["evaluate", "--model", MODEL, "--task", "arc_easy", "--tasks-folder", ".assets/tasks"];
    let outcome = scaleot(arguments.iter().chain(&["--split", "validation", "--json", "--threads", "2"])).expect(0);
    let result = outcome.json();
    assert_eq!(result["questions"], 570);
    let right = (result["acc"].as_f64().unwrap() * 570.0).round();
    assert!((right - 298.0).abs() <= 1.0, "{right} of 570 right, Transformers had 298");
}

#[test]
fn perplexity_of_wikipedia_passages() {
    let text = ".assets/text/boolq-passages/validation.txt";
    let arguments = ["evaluate", "--model", MODEL, "--text", text, "--limit", "24", "--json", "--threads", "2"];
    let result = scaleot(arguments).expect(0).json();
    let nll = result["results"]["results"]["text"]["nll,none"].as_f64().unwrap();
    assert!((nll - 2.925).abs() < 0.002, "{nll} nats a token, Transformers had 2.925");
}
