//! The tokenizer's files of a bundle, written from what the tokenizer is: `tokenizer.json`, `tokenizer_config.json` and, where
//! the model has one, `generation_config.json`.
//!
//! Rule: as for the config, a key is written because its value is known and bounded here. Special tokens are words of the
//! vocabulary, which leaves anyway. A chat template leaves without its comments; what it prints, it must go on printing.

use super::chat_template::without_comments;
use crate::error::StageError;
use crate::load::load_tokenizer;
use scaleot_data::Tokenizer;
use scaleot_model::{ModelConfig, ModelError};
use scaleot_store::foreign_json::{self, ForeignJsonError};
use scaleot_store::{StageDir, StoreError, without_mark};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Files of the owner's that are read here, `tokenizer.json` and `config.json` left out.
pub(super) const READ: [&str; 5] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.json",
    "chat_template.jinja",
    "generation_config.json",
];
/// Special tokens by the names of Transformers, beside those that begin and end a text.
const TOKENS: [&str; 5] = ["unk", "pad", "sep", "cls", "mask"];
/// Keys that are true or false.
const FLAGS: [&str; 3] = ["add_eos_token", "add_prefix_space", "clean_up_tokenization_spaces"];
/// Keys that are a side.
const SIDES: [&str; 2] = ["padding_side", "truncation_side"];

/// Writes the files, and says whether a chat template is in them; `folder` is the owner's model folder.
///
/// # Errors
/// A tokenizer that a receiver would refuse, a file that is no JSON object, a full disk.
pub(super) fn write(
    stage: &mut StageDir,
    folder: &Path,
    config: &ModelConfig,
    with_chat_template: bool,
) -> Result<bool, StageError> {
    let tokenizer = load_tokenizer(folder, config.vocabulary)?;
    stage.write_bytes("tokenizer.json", tokenizer.to_json()?.as_bytes())?;
    let said = Said::read(folder)?;
    let mut described = said.described(&tokenizer, config);
    if with_chat_template && let Some(template) = said.chat_template {
        described.insert("chat_template".to_owned(), without_comments(&template).into());
    }
    let has_chat_template = described.contains_key("chat_template");
    stage.write_json("tokenizer_config.json", &described)?;
    let generation = config.token_ids(&object(folder, "generation_config.json")?);
    if !generation.is_empty() {
        stage.write_json("generation_config.json", &generation)?;
    }
    Ok(has_chat_template)
}

/// The owner's files on the tokenizer.
struct Said {
    config: Map<String, Value>,
    special: Map<String, Value>,
    chat_template: Option<String>,
}

impl Said {
    fn read(folder: &Path) -> Result<Self, StageError> {
        let config = object(folder, "tokenizer_config.json")?;
        let special = object(folder, "special_tokens_map.json")?;
        let alone = object(folder, "chat_template.json")?;
        // In the order of Transformers: the file of its own, the older one, the key.
        let file = text(folder, "chat_template.jinja")?;
        let older = alone.get("chat_template").and_then(Value::as_str).map(str::to_owned);
        let chat_template = file.or(older).or_else(|| default_template(config.get("chat_template")?));
        Ok(Self { config, special, chat_template })
    }

    fn described(&self, tokenizer: &Tokenizer, config: &ModelConfig) -> Map<String, Value> {
        // What begins and ends a text, as it was found here, so that an empty context is the same to both parties; and the
        // class that takes `tokenizer.json` as it is, in Transformers 4 and 5.
        let mut described = tokenizer.special().file(|id| tokenizer.token(id));
        described.insert("model_max_length".to_owned(), json!(config.context));
        for name in TOKENS {
            if let Some(token) = self.token(name, tokenizer, config) {
                described.insert(format!("{name}_token"), token.into());
            }
        }
        let flags =
            FLAGS.iter().filter_map(|key| Some((*key, self.config.get(*key).filter(|flag| flag.is_boolean())?)));
        let is_side = |side: &&Value| matches!(side.as_str(), Some("left" | "right"));
        let sides = SIDES.iter().filter_map(|key| Some((*key, self.config.get(*key).filter(is_side)?)));
        described.extend(flags.chain(sides).map(|(key, value)| (key.to_owned(), value.clone())));
        described
    }

    /// A special token: named by the tokenizer's config or map, or else by its id in the model's config. A name that is no
    /// token would be a new one without a row in the embedding, so it is left out.
    fn token(&self, name: &str, tokenizer: &Tokenizer, config: &ModelConfig) -> Option<String> {
        let key = format!("{name}_token");
        let named = self.config.get(&key).or_else(|| self.special.get(&key));
        let Some(named) = named else {
            let id = config.token_ids(&config.raw).remove(&format!("{key}_id"))?;
            return tokenizer.token(id.as_i64().or_else(|| id.get(0)?.as_i64())?);
        };
        let token = named.as_str().or_else(|| named.get("content")?.as_str())?;
        tokenizer.id_of(token).map(|_| token.to_owned())
    }
}

/// The template of a config, or the one called `default` of its list.
fn default_template(said: &Value) -> Option<String> {
    let named = |templates: &Vec<Value>| {
        templates.iter().find(|each| each.get("name").is_some_and(|name| name == "default"))?.get("template").cloned()
    };
    let template = said.as_array().map_or_else(|| Some(said.clone()), named)?;
    template.as_str().map(str::to_owned)
}

/// A text file of the owner's; nothing where there is none.
fn text(folder: &Path, name: &str) -> Result<Option<String>, StageError> {
    let path = folder.join(name);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::read(&path, source).into()),
    };
    let unread = |problem| ModelError::Json { path: path.clone(), problem };
    let text = without_mark(&bytes).map_err(|error| unread(error.into()))?;
    match std::str::from_utf8(text) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(error) => Err(unread(ForeignJsonError::Syntax { message: error.to_string() }).into()),
    }
}

/// The JSON object of a file; an empty one where there is no file.
fn object(folder: &Path, name: &str) -> Result<Map<String, Value>, StageError> {
    let Some(text) = text(folder, name)? else { return Ok(Map::new()) };
    let unread = |problem| ModelError::Json { path: folder.join(name), problem };
    match foreign_json::parse(text.as_bytes()).map_err(unread)? {
        Value::Object(object) => Ok(object),
        _ => Err(unread(ForeignJsonError::Syntax { message: "not an object".to_owned() }).into()),
    }
}
