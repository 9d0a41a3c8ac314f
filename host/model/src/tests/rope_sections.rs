//! The rotary keys of a config against what Transformers makes of them: `tests/golden/rope_sections.json`.
//!
//! A config with which Transformers ends with an error is refused. Where it computes, the same numbers are read, or the config is
//! refused for a reason of our own that stands here.

use crate::{ModelConfig, Positions};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
struct Case {
    family: String,
    name: String,
    keys: Map<String, Value>,
    #[serde(default)]
    frequencies: Vec<f32>,
    #[serde(default)]
    attention_factor: f64,
    #[serde(default)]
    longest: usize,
    error: Option<String>,
}

/// Numbers that Transformers computes though the config cannot mean them.
const REFUSED: [(&str, &str); 10] = [
    ("nested", "a section for each kind of layer is not supported"),
    ("nested with layer types", "a section for each kind of layer is not supported"),
    ("nested in the old section", "a section for each kind of layer is not supported"),
    ("nested beside flat", "a section for each kind of layer is not supported"),
    ("llama3, factors the wrong way round", "less than high_freq_factor, 1"),
    ("llama3, factors the wrong way round, whole heads", "less than high_freq_factor, 1"),
    ("proportional, share 0.0", "a finite number above 0"),
    ("head_dim of its own", "8, the hidden size shared out among the heads"),
    ("head_dim odd", "8, the hidden size shared out among the heads"),
    ("head_dim of its own, linear", "8, the hidden size shared out among the heads"),
];
/// A list of factors that is longer than the pairs of GPT-NeoX's quarter of a head.
const TOO_MANY: &str = "a list of 1 numbers above 0, one for each rotated pair";

fn config(case: &Case) -> Map<String, Value> {
    let base = json!({
        "model_type": case.family, "vocab_size": 16, "hidden_size": 32, "intermediate_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 4, "max_position_embeddings": 64, "sliding_window": null,
    });
    let mut config = base.as_object().unwrap().clone();
    config.extend(case.keys.clone());
    config
}

fn read(case: &Case) -> Result<ModelConfig, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), Value::Object(config(case)).to_string()).unwrap();
    ModelConfig::read(folder.path()).map_err(|error| error.to_string())
}

/// The reason that this program has to refuse what Transformers computes.
fn own_reason(case: &Case) -> Option<&'static str> {
    let neox = case.family == "gpt_neox";
    let listed = REFUSED.iter().find(|(name, _)| *name == case.name).map(|(_, reason)| *reason);
    let long = case.name.starts_with("longrope") && !case.name.contains("whole") && !case.name.contains("share");
    let odd = case.name == "head_dim odd, a share";
    match listed {
        Some(reason) if !case.name.starts_with("head_dim") || neox => Some(reason),
        _ if neox && long => Some(TOO_MANY),
        _ if neox && odd => Some("8, the hidden size shared out among the heads"),
        _ => None,
    }
}

fn check(case: &Case) -> Result<(), String> {
    let found = read(case);
    match (found, &case.error, own_reason(case)) {
        (Err(message), Some(_), _) if message.contains("expected") => Ok(()),
        (Err(message), None, Some(reason)) if message.contains(reason) => Ok(()),
        (Ok(config), None, None) => {
            let Positions::Rope(rope) = &config.positions else { return Err("no rotary positions".into()) };
            let frequencies = rope.frequencies();
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6 * b.abs();
            let same =
                frequencies.len() == case.frequencies.len() && frequencies.iter().zip(&case.frequencies).all(near);
            let factor = (rope.attention_factor - case.attention_factor).abs() <= 1e-12;
            if same && factor && config.context == case.longest {
                return Ok(());
            }
            Err(format!("{frequencies:?}, {}, {}", rope.attention_factor, config.context))
        }
        (Ok(config), ..) => Err(format!("accepted: {:?}", config.positions)),
        (Err(message), ..) => Err(message),
    }
}

#[test]
fn sections_are_read_as_transformers_reads_them() {
    let path = super::tests_folder().join("golden/rope_sections.json");
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(cases.len() > 500);
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let problem = check(case).err()?;
            let expected = case
                .error
                .clone()
                .unwrap_or_else(|| format!("{:?}", (&case.frequencies, case.attention_factor, case.longest)));
            Some(format!("{}, {}: expected {expected}\n    found {problem}", case.family, case.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
