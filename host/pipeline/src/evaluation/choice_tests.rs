//! Metrics against a scorer whose log-probabilities are known.

use std::convert::Infallible;

use super::{ChoiceSet, Entry, EvaluateError, HarnessReport, Limits, Scorer, score_text};
use scaleot_data::{Choice, DataError, Metric, PackedBatch, Question, Task, TextOptions, TextWindows, Tokenizer};

fn ci_tokenizer() -> Tokenizer {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/ci-model");
    Tokenizer::load(std::path::Path::new(folder), Some(1024)).unwrap()
}

/// Log-probability of a token by its id alone, whatever came before.
struct ById(fn(i64) -> f32);

impl Scorer for ById {
    type Error = Infallible;

    fn log_probs(&self, _: &PackedBatch, targets: &[(usize, i64)]) -> Result<Vec<f32>, Infallible> {
        Ok(targets.iter().map(|(_, id)| self.0(*id)).collect())
    }
}

const TASK: &str = r#"
name = "small"
version = 2.0
licence = "none"
chance = 0.5
metrics = ["acc", "acc_norm", "answer_loss"]
files = "{split}.jsonl"
validation_split = "validation"
doc_to_text = "{{question}}"
doc_to_choice = "choices"
doc_to_target = "gold"
"#;

const LIMITS: Limits = Limits { max_tokens: 200, batch_tokens: 16 };

fn question(context: &str, answers: &[&str], gold: usize) -> Question {
    let choice = |answer: &&str| Choice {
        context: context.into(),
        continuation: format!(" {answer}"),
        characters: answer.len(),
    };
    Question { id: context.into(), choices: answers.iter().map(choice).collect(), gold }
}

/// Answers of 1 and 3 letters, each letter a token: sums favour the short one, sums per character are equal.
fn set() -> ChoiceSet {
    let questions = vec![
        question("Zero", &["Q", "Z X K"], 0),
        question("One", &["Z X K", "Q"], 0),
        question("A much longer context than the others", &["Q", "Z X K"], 1),
        question("Three", &["Q", "Z"], 0),
    ];
    ChoiceSet::new(&Task::parse(TASK, "small.toml").unwrap(), questions, &ci_tokenizer(), LIMITS).unwrap()
}

#[test]
fn sums_and_means_decide_differently() {
    let mut told = Vec::new();
    let scores = set().score(&ById(|_| -1.0), &mut |done, total| told.push((done, total))).unwrap();
    assert_eq!(told.last(), Some(&(4, 4)));
    assert!(told.len() > 1);
    let ids: Vec<&str> = scores.samples.iter().map(|sample| sample.id.as_str()).collect();
    assert_eq!(ids, ["Zero", "One", "A much longer context than the others", "Three"]);
    assert_eq!(scores.samples.iter().map(super::Sample::acc).collect::<Vec<_>>(), [1.0, 0.0, 0.0, 1.0]);
    let tokens: Vec<usize> = scores.samples.iter().map(|sample| sample.answer_tokens).collect();
    for sample in &scores.samples {
        assert!((sample.answer_loss() - 1.0).abs() < 1e-9);
        let sums = sample.log_probs.iter().zip(&sample.characters).map(|(sum, length)| sum / *length as f64);
        let best = sums.clone().fold(f64::MIN, f64::max);
        let first = sums.clone().position(|value| value == best);
        assert_eq!(sample.acc_norm() > 0.5, first == Some(sample.gold));
    }
    let acc = scores.estimate(Metric::Acc).unwrap();
    assert!((acc.mean - 0.5).abs() < 1e-12);
    // s = sqrt(4 * 0.25 / 3), over sqrt(4).
    assert!((acc.stderr.unwrap() - 0.288_675_134_594_812_9).abs() < 1e-12);
    assert!(tokens[1] > tokens[0]);
}

#[test]
fn results_follow_the_harness() {
    let scores = set().score(&ById(|_| -0.5), &mut |_, _| {}).unwrap();
    let file = HarnessReport::default().results(&[Entry::Choice(&scores)]);
    assert_eq!(file["results"]["small"]["acc,none"], 0.5);
    assert_eq!(file["results"]["small"]["answer_loss,none"], 0.5);
    assert_eq!(file["results"]["small"]["answer_loss_stderr,none"], 0.0);
    assert_eq!(file["versions"]["small"], 2.0);
    assert_eq!(file["n-shot"]["small"], 0);
    assert_eq!(file["n-samples"]["small"], serde_json::json!({"original": 4, "effective": 4}));
    assert_eq!(
        file["higher_is_better"]["small"],
        serde_json::json!({"acc": true, "acc_norm": true, "answer_loss": false})
    );
    assert_eq!(file["configs"]["small"]["output_type"], "multiple_choice");
    assert!(file.get("date").is_none());
    let dated = HarnessReport { date: Some(1.5), ..HarnessReport::default() }.results(&[]);
    assert_eq!(dated["date"], 1.5);
    let lines: Vec<serde_json::Value> =
        scores.samples_jsonl().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[1]["id"], &lines[1]["acc"]), (4, &"One".into(), &0.0.into()));
}

#[test]
fn a_model_that_gives_no_number_is_refused() {
    let message = set().score(&ById(|_| f32::NAN), &mut |_, _| {}).unwrap_err().to_string();
    assert!(message.starts_with("task `small`: found the log-probability NaN, expected a finite number"), "{message}");
    struct Short;
    impl Scorer for Short {
        type Error = Infallible;
        fn log_probs(&self, _: &PackedBatch, _: &[(usize, i64)]) -> Result<Vec<f32>, Infallible> {
            Ok(Vec::new())
        }
    }
    let message = set().score(&Short, &mut |_, _| {}).unwrap_err().to_string();
    assert!(message.contains("found 0 log-probabilities, expected"), "{message}");
}

#[test]
fn sets_that_cannot_be_scored_are_refused() {
    let task = Task::parse(TASK, "small.toml").unwrap();
    let make = |questions, max_tokens| {
        ChoiceSet::new(&task, questions, &ci_tokenizer(), Limits { max_tokens, ..LIMITS }).unwrap_err()
    };
    assert!(matches!(make(Vec::new(), 9), EvaluateError::NoQuestions { .. }));
    let long = vec![question("The sky is blue and the grass is green", &["Q", "Z"], 0)];
    assert!(matches!(make(long, 4), EvaluateError::Data(DataError::AllTooLong { count: 1, limit: 4, .. })));
}

#[test]
fn perplexity_is_a_mean_over_targets() {
    let options = TextOptions { block_length: 4, batch_size: 1, seed: 0 };
    let text = TextWindows::from_tokens("t", (0..14).collect(), options).unwrap();
    // Window means: (1+2+3)/3, (5+6+7)/3, (9+10+11)/3.
    let mut told = Vec::new();
    let scores =
        score_text(&ById(|id| -(id as f32)), &text, None, 8, &mut |done, total| told.push((done, total))).unwrap();
    assert_eq!(told, [(2, 3), (3, 3)]);
    assert_eq!((scores.tokens, scores.windows), (9, 3));
    assert!((scores.nll.mean - 6.0).abs() < 1e-9);
    assert!((scores.nll.stderr.unwrap() - 4.0 / 3.0_f64.sqrt()).abs() < 1e-9);
    let one = score_text(&ById(|_| -2.0), &text, Some(1), 8, &mut |_, _| {}).unwrap();
    assert!((one.perplexity() - 2.0_f64.exp()).abs() < 1e-9);
    let file = HarnessReport::default().results(&[Entry::Text { name: "wiki", scores: &one }]);
    assert_eq!(file["results"]["wiki"]["nll_stderr,none"], "N/A");
}
