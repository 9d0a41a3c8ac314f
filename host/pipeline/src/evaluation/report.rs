//! Results in lm-evaluation-harness's JSON, and every question's scores as JSON Lines.
//!
//! Keys are `<metric>,none` and `<metric>_stderr,none`; a standard error that one sample cannot have is `"N/A"`, as in the harness.
//! Ours beside the harness's: `answer_loss` (nats per token of the right answer), `nll`, `perplexity` (per token).
//! Nothing here depends on the clock: a date stands in the result only when the caller gives one.

use serde_json::{Map, Value, json};

use super::{ChoiceScores, Estimate, TextScores};

/// One column of a result file.
#[derive(Debug, Clone, Copy)]
pub enum Entry<'a> {
    Choice(&'a ChoiceScores),
    Text { name: &'a str, scores: &'a TextScores },
}

/// The fields that are written beside the figures.
#[derive(Debug, Clone, Default)]
pub struct HarnessReport {
    /// The harness's `config`: model, model_args, batch_size, limit, seeds, …
    pub config: Map<String, Value>,
    /// Seconds since 1970, if wanted.
    pub date: Option<f64>,
}

impl HarnessReport {
    /// The result file of `entries`.
    #[must_use]
    pub fn results(&self, entries: &[Entry<'_>]) -> Value {
        let by_name = |part: fn(&Entry<'_>) -> Value| -> Map<String, Value> {
            entries.iter().map(|entry| (entry.name().to_owned(), part(entry))).collect()
        };
        let mut file = json!({
            "results": by_name(|entry| entry.results()),
            "group_subtasks": by_name(|_| json!([])),
            "configs": by_name(|entry| entry.config()),
            "versions": by_name(|entry| entry.version()),
            "n-shot": by_name(|_| json!(0)),
            "higher_is_better": by_name(|entry| entry.higher_is_better()),
            "n-samples": by_name(|entry| entry.counts()),
            "config": self.config,
        });
        if let (Some(date), Some(fields)) = (self.date, file.as_object_mut()) {
            fields.insert("date".to_owned(), json!(date));
        }
        file
    }
}

impl Entry<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Choice(scores) => &scores.task.name,
            Self::Text { name, .. } => name,
        }
    }

    fn results(&self) -> Value {
        let mut fields = Map::from_iter([("alias".to_owned(), json!(self.name()))]);
        match self {
            Self::Choice(scores) => {
                for metric in &scores.task.metrics {
                    put(&mut fields, metric.key(), scores.estimate(*metric));
                }
            }
            Self::Text { scores, .. } => {
                put(&mut fields, "nll", Some(scores.nll));
                // The delta method: d exp(x) = exp(x) dx.
                let stderr = scores.nll.stderr.map(|stderr| stderr * scores.perplexity());
                put(&mut fields, "perplexity", Some(Estimate { mean: scores.perplexity(), stderr, n: scores.nll.n }));
            }
        }
        Value::Object(fields)
    }

    fn config(&self) -> Value {
        match self {
            Self::Text { name, scores } => json!({
                "task": name, "output_type": "loglikelihood_rolling", "num_fewshot": 0,
                "metadata": {"version": 1.0, "windows": scores.windows, "tokens": scores.tokens},
            }),
            Self::Choice(scores) => {
                let task = &scores.task;
                let metrics: Vec<Value> = task
                    .metrics
                    .iter()
                    .map(|metric| json!({"metric": metric.key(), "aggregation": "mean", "higher_is_better": metric.higher_is_better()}))
                    .collect();
                let mut config = serde_json::to_value(task).unwrap_or_default();
                if let Some(fields) = config.as_object_mut() {
                    for ours in ["name", "version", "metrics"] {
                        fields.remove(ours);
                    }
                    fields.extend([
                        ("task".to_owned(), json!(task.name)),
                        ("output_type".to_owned(), json!("multiple_choice")),
                        ("num_fewshot".to_owned(), json!(0)),
                        ("metric_list".to_owned(), json!(metrics)),
                        ("metadata".to_owned(), json!({"version": task.version, "truncated": scores.truncated})),
                    ]);
                }
                config
            }
        }
    }

    fn version(&self) -> Value {
        match self {
            Self::Choice(scores) => json!(scores.task.version),
            Self::Text { .. } => json!(1.0),
        }
    }

    fn higher_is_better(&self) -> Value {
        match self {
            Self::Choice(scores) => scores
                .task
                .metrics
                .iter()
                .map(|metric| (metric.key().to_owned(), json!(metric.higher_is_better())))
                .collect::<Map<_, _>>()
                .into(),
            Self::Text { .. } => json!({"nll": false, "perplexity": false}),
        }
    }

    fn counts(&self) -> Value {
        match self {
            Self::Choice(scores) => json!({"original": scores.original, "effective": scores.samples.len()}),
            Self::Text { scores, .. } => json!({"original": scores.windows, "effective": scores.windows}),
        }
    }
}

fn put(fields: &mut Map<String, Value>, key: &str, estimate: Option<Estimate>) {
    if let Some(estimate) = estimate {
        fields.insert(format!("{key},none"), json!(estimate.mean));
        fields
            .insert(format!("{key}_stderr,none"), estimate.stderr.map_or_else(|| json!("N/A"), |stderr| json!(stderr)));
    }
}

impl ChoiceScores {
    /// One line a question, for paired tests and for looking at mistakes.
    #[must_use]
    pub fn samples_jsonl(&self) -> String {
        let line = |(index, sample): (usize, &super::Sample)| {
            let fields = json!({
                "doc_id": index,
                "id": sample.id,
                "target": sample.gold,
                "filtered_resps": sample.log_probs,
                "characters": sample.characters,
                "answer_tokens": sample.answer_tokens,
                "filter": "none",
                "acc": sample.acc(),
                "acc_norm": sample.acc_norm(),
                "answer_loss": sample.answer_loss(),
            });
            format!("{fields}\n")
        };
        self.samples.iter().enumerate().map(line).collect()
    }
}
