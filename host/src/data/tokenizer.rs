//! Text to token ids and back, by the model's own `tokenizer.json`.
//!
//! Load order: size, JSON, our check (`tokenizer_check`), then the library behind a fence, then a probe.
//! `encode` adds no special tokens, truncates nothing and pads nothing, whatever the file asks for:
//! a question cut short by a forgotten `truncation` entry would give a wrong score without a sign.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::{TokenizerError, shown};
use super::fence::fenced;
use super::tokenizer_check::check;

/// Larger than any published tokenizer (the largest known are some 35 MB).
const FILE_LIMIT: u64 = 256 << 20;
/// Tried, in order, when neither tokenizer_config.json nor config.json names the end token.
const END_TOKENS: [&str; 4] = ["<|endoftext|>", "</s>", "<|im_end|>", "<|end_of_text|>"];
/// Letters, digits, spaces, accents, a character beyond the first plane: enough to reach every part of the pipeline.
const PROBE: &str = "Probe 2024: naïve  “text”,\n\tdon't 東京 🦀";

/// A checked tokenizer.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    file: PathBuf,
    vocabulary: usize,
    end: Option<i64>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({}, {} tokens)", self.file.display(), self.vocabulary)
    }
}

impl Tokenizer {
    /// Loads a model folder's `tokenizer.json` (or the file itself) and finds the end-of-sequence token.
    ///
    /// # Errors
    /// What is wrong with the file; `embedding_rows` is the size that ids must stay below.
    pub fn load(path: &Path, embedding_rows: Option<usize>) -> Result<Self, TokenizerError> {
        let file = if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() };
        let bytes = read_limited(&file)?;
        let mut tokenizer = Self::from_bytes(&bytes, &file, embedding_rows)?;
        tokenizer.end = tokenizer.find_end(file.parent().unwrap_or(Path::new("")));
        Ok(tokenizer)
    }

    /// The same from bytes; `file` is for messages only.
    ///
    /// # Errors
    /// As for `load`.
    pub fn from_bytes(bytes: &[u8], file: &Path, embedding_rows: Option<usize>) -> Result<Self, TokenizerError> {
        let root: Value =
            serde_json::from_slice(bytes).map_err(|source| TokenizerError::Json { file: file.to_owned(), source })?;
        let vocabulary = check(&root, file, embedding_rows)?;
        drop(root);
        let refused = |message: String| TokenizerError::Library { file: file.to_owned(), message: shown(&message) };
        let mut inner = fenced(|| tokenizers::Tokenizer::from_bytes(bytes))
            .map_err(refused)?
            .map_err(|error| refused(error.to_string()))?;
        inner.with_truncation(None).map_err(|error| refused(error.to_string()))?;
        inner.with_padding(None);
        let mut tokenizer = Self { inner, file: file.to_owned(), vocabulary, end: None };
        tokenizer.encode(PROBE)?;
        tokenizer.end = END_TOKENS.iter().find_map(|token| tokenizer.id_of(token));
        Ok(tokenizer)
    }

    /// The ids of `text`, without special tokens of its own.
    ///
    /// # Errors
    /// The library's message, or that of its panic.
    pub fn encode(&self, text: &str) -> Result<Vec<i64>, TokenizerError> {
        let failed = |message: String| TokenizerError::Encode { file: self.file.clone(), text: shown(text), message };
        let encoding = fenced(|| self.inner.encode_fast(text, false))
            .map_err(failed)?
            .map_err(|error| failed(error.to_string()))?;
        let ids: Vec<i64> = encoding.get_ids().iter().map(|id| i64::from(*id)).collect();
        match ids.iter().find(|id| **id >= self.vocabulary as i64) {
            Some(id) => Err(failed(format!("it gives id {id}, but the vocabulary has {}", self.vocabulary))),
            None => Ok(ids),
        }
    }

    /// The text of `ids`, special tokens included.
    ///
    /// # Errors
    /// An id outside the vocabulary, or the library's message.
    pub fn decode(&self, ids: &[i64]) -> Result<String, TokenizerError> {
        let failed = |message: String| TokenizerError::Decode { file: self.file.clone(), count: ids.len(), message };
        let known = |id: &i64| u32::try_from(*id).ok().filter(|id| (*id as usize) < self.vocabulary);
        let small: Vec<u32> = ids
            .iter()
            .map(|id| known(id).ok_or_else(|| failed(format!("found id {id}, expected 0..{}", self.vocabulary))))
            .collect::<Result<_, _>>()?;
        fenced(|| self.inner.decode(&small, false)).map_err(failed)?.map_err(|error| failed(error.to_string()))
    }

    /// The id that ends a sequence, where the model has one.
    #[must_use]
    pub fn end(&self) -> Option<i64> {
        self.end
    }

    /// One more than the largest id.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The id of one token, spelled as in the vocabulary.
    #[must_use]
    pub fn id_of(&self, token: &str) -> Option<i64> {
        self.inner.token_to_id(token).map(i64::from)
    }

    /// One token by its id, spelled as in the vocabulary.
    #[must_use]
    pub fn token_of(&self, id: i64) -> Option<String> {
        self.inner.id_to_token(u32::try_from(id).ok()?)
    }

    /// `tokenizer.json` of what was loaded, and of nothing else that stood in the file: without `truncation` and `padding`,
    /// which belong to a use.
    ///
    /// # Errors
    /// The library's message.
    pub fn to_json(&self) -> Result<String, TokenizerError> {
        self.inner
            .to_string(false)
            .map_err(|error| TokenizerError::Library { file: self.file.clone(), message: shown(&error.to_string()) })
    }

    /// tokenizer_config.json by name, config.json by id, then the usual names.
    /// Both files are optional here: the model loader checks config.json in full.
    fn find_end(&self, folder: &Path) -> Option<i64> {
        let read =
            |name: &str| -> Option<Value> { serde_json::from_slice(&read_limited(&folder.join(name)).ok()?).ok() };
        let by_name = || {
            let config = read("tokenizer_config.json")?;
            let entry = config.get("eos_token")?;
            self.id_of(entry.as_str().or_else(|| entry.get("content")?.as_str())?)
        };
        let by_id = || {
            let config = read("config.json")?;
            let entry = config.get("eos_token_id")?;
            let id = entry.as_i64().or_else(|| entry.get(0)?.as_i64())?;
            (0..self.vocabulary as i64).contains(&id).then_some(id)
        };
        by_name().or_else(by_id).or(self.end)
    }
}

fn read_limited(file: &Path) -> Result<Vec<u8>, TokenizerError> {
    let failed = |source| TokenizerError::Read { file: file.to_owned(), source };
    let opened = fs::File::open(file).map_err(failed)?;
    let found = opened.metadata().map_err(failed)?.len();
    if found > FILE_LIMIT {
        return Err(TokenizerError::TooLarge { file: file.to_owned(), found, limit: FILE_LIMIT });
    }
    let mut bytes = Vec::with_capacity(found as usize);
    // A pipe or a growing file has no honest length; the limit holds while reading too.
    opened.take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
