//! Tokens before a text: the rule of lm-evaluation-harness 0.4.13 over Transformers.
//!
//! `begin` (BOS) is named by tokenizer_config.json, else by special_tokens_map.json; where neither says anything it is the token that the
//! post-processor puts in front, and only a folder without tokenizer_config.json is asked for `bos_token_id` of config.json.
//! `in_front` is what tokenizer.json's own post-processor puts before a text; where it puts nothing, `add_bos_token: true`
//! in tokenizer_config.json puts `begin` there. An end token that a post-processor puts after a text is left out: it would stand
//! between context and answer.
//! An empty context is `begin`, else `end` (the harness's `prefix_token_id`).

use serde_json::{Map, Value, json};

/// The file that says which tokens begin and end a text, as Transformers names it.
pub(crate) const FILE: &str = "tokenizer_config.json";

/// The older file of the same names.
pub(super) const MAP: &str = "special_tokens_map.json";

/// The model's own config.
pub(super) const MODEL: &str = "config.json";

/// Ids with a part of their own in a sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// The id that begins a sequence, where the model has one.
    pub begin: Option<i64>,
    /// The id that ends a sequence, where the model has one.
    pub end: Option<i64>,
    /// The ids that stand before every text.
    pub in_front: Vec<i64>,
}

/// The vocabulary as this rule asks it.
pub(super) struct Vocabulary<'a> {
    /// The id of one token.
    pub id_of: &'a dyn Fn(&str) -> Option<i64>,
    /// Ids are below this.
    pub size: usize,
    /// Ids that the post-processor puts before a text.
    pub in_front: Vec<i64>,
}

/// A token by its name, or word that there is none.
enum Named {
    Id(i64),
    None,
    Unsaid,
}

impl SpecialTokens {
    /// The tokens by the files beside tokenizer.json; `read` gives the JSON of one of them, where it is there and sound.
    pub(super) fn find(read: &dyn Fn(&str) -> Option<Value>, vocabulary: Vocabulary<'_>) -> Self {
        let config = read(FILE);
        let map = read(MAP);
        let named = |key: &str| match token(config.as_ref(), key, &vocabulary) {
            Named::Unsaid => token(map.as_ref(), key, &vocabulary),
            said => said,
        };
        let model = read(MODEL);
        let numbered = |key: &str| number(model.as_ref()?.get(key)?, vocabulary.size);
        let begin = match named("bos_token") {
            Named::Id(id) => Some(id),
            Named::None => None,
            Named::Unsaid => match vocabulary.in_front.first() {
                Some(first) => Some(*first),
                None if config.is_none() => numbered("bos_token_id"),
                None => None,
            },
        };
        let end = match named("eos_token") {
            Named::Id(id) => Some(id),
            Named::None | Named::Unsaid => numbered("eos_token_id"),
        };
        let asked = config.as_ref().and_then(|config| config.get("add_bos_token")?.as_bool()) == Some(true);
        let mut in_front = vocabulary.in_front;
        if in_front.is_empty() && asked {
            in_front.extend(begin);
        }
        Self { begin, end, in_front }
    }

    /// The token that an empty context stands for.
    #[must_use]
    pub fn prefix(&self) -> Option<i64> {
        self.begin.or(self.end)
    }

    /// The file that says the same of a bundle; `token` gives a token's text by its id.
    #[must_use]
    pub fn file(&self, token: impl Fn(i64) -> Option<String>) -> Map<String, Value> {
        let name = |id: Option<i64>| id.and_then(&token);
        Map::from_iter([
            ("add_bos_token".to_owned(), json!(!self.in_front.is_empty())),
            ("bos_token".to_owned(), json!(name(self.begin))),
            ("eos_token".to_owned(), json!(name(self.end))),
            ("tokenizer_class".to_owned(), json!("PreTrainedTokenizerFast")),
        ])
    }
}

/// `"<s>"` or `{"content": "<s>", …}`; a name that the tokenizer lacks says nothing.
fn token(file: Option<&Value>, key: &str, vocabulary: &Vocabulary<'_>) -> Named {
    match file.and_then(|file| file.get(key)) {
        None => Named::Unsaid,
        Some(Value::Null) => Named::None,
        Some(entry) => {
            let name = entry.as_str().or_else(|| entry.get("content")?.as_str());
            name.and_then(|name| (vocabulary.id_of)(name)).map_or(Named::Unsaid, Named::Id)
        }
    }
}

/// An id, or the first of several.
fn number(entry: &Value, vocabulary: usize) -> Option<i64> {
    let id = entry.as_i64().or_else(|| entry.get(0)?.as_i64())?;
    (0..vocabulary as i64).contains(&id).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["<unk>", "<s>", "</s>", "<end>"];

    /// The tokens that files of this content give; `in_front` is the post-processor's.
    fn found(config: Option<Value>, map: Option<Value>, model: Option<Value>, in_front: &[i64]) -> SpecialTokens {
        let id_of = |name: &str| NAMES.iter().position(|known| *known == name).map(|id| id as i64);
        let read = |name: &str| match name {
            FILE => config.clone(),
            MODEL => model.clone(),
            _ => map.clone(),
        };
        SpecialTokens::find(&read, Vocabulary { id_of: &id_of, size: 4, in_front: in_front.to_vec() })
    }

    fn special(begin: Option<i64>, end: Option<i64>, in_front: &[i64]) -> SpecialTokens {
        SpecialTokens { begin, end, in_front: in_front.to_vec() }
    }

    #[test]
    fn names_come_before_numbers_and_null_means_none() {
        let model = || Some(json!({"bos_token_id": 0, "eos_token_id": [2, 3]}));
        let config = |bos: Value| Some(json!({"bos_token": bos, "eos_token": {"content": "<end>"}}));
        assert_eq!(found(config(json!("<s>")), None, model(), &[]), special(Some(1), Some(3), &[]));
        // Qwen2: `"bos_token": null` beside a `bos_token_id` of config.json: the harness's prefix is the end token.
        assert_eq!(found(config(Value::Null), None, model(), &[]), special(None, Some(3), &[]));
        assert_eq!(found(None, None, model(), &[]), special(Some(0), Some(2), &[]));
        let map = Some(json!({"bos_token": "<s>", "eos_token": "</s>"}));
        assert_eq!(found(Some(json!({})), map, model(), &[]), special(Some(1), Some(2), &[]));
    }

    #[test]
    fn the_post_processor_or_the_config_puts_it_in_front() {
        let config = |asked: bool| Some(json!({"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": asked}));
        assert_eq!(found(config(true), None, None, &[]).in_front, [1]);
        assert_eq!(found(config(false), None, None, &[]).in_front, [0_i64; 0]);
        // Transformers 5 leaves the post-processor as the file has it, whatever `add_bos_token` says.
        assert_eq!(found(config(false), None, None, &[1]).in_front, [1]);
        assert_eq!(found(Some(json!({})), None, None, &[1]), special(Some(1), None, &[1]));
    }

    #[test]
    fn a_bundle_says_the_same_as_its_model() {
        let model = Some(json!({"bos_token_id": 0, "eos_token_id": 2}));
        for config in [
            Some(json!({"bos_token": "<s>", "eos_token": "<end>", "add_bos_token": true})),
            Some(json!({"bos_token": null, "eos_token": "</s>"})),
            Some(json!({"add_bos_token": true})),
            None,
        ] {
            let here = found(config, None, model.clone(), &[]);
            let file = here.file(|id| NAMES.get(id as usize).map(|name| (*name).to_owned()));
            assert_eq!(found(Some(Value::Object(file)), None, model.clone(), &[]), here);
        }
    }
}
