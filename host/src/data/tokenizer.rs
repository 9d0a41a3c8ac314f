//! Text to token ids and back, by the model's own `tokenizer.json`.
//!
//! Load order: size, JSON, our check (`tokenizer_check`), then the library behind a fence, then a probe.
//! `encode` adds no special tokens, truncates nothing and pads nothing, whatever the file asks for:
//! a question cut short by a forgotten `truncation` entry would give a wrong score without a sign.
//! `encode_input` puts the tokens in front that the model expects there (`special_tokens`).

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::error::{TokenizerError, shown};
use super::fence::fenced;
use super::special_tokens::{MODEL, SpecialTokens, Vocabulary, read_beside};
use super::tokenizer_check::check;
use crate::store::without_mark;

/// Larger than any published tokenizer (the largest known are some 35 MB).
const FILE_LIMIT: u64 = 256 << 20;
/// Tried, in order, when neither tokenizer_config.json nor config.json names the end token.
const END_TOKENS: [&str; 4] = ["<|endoftext|>", "</s>", "<|im_end|>", "<|end_of_text|>"];
/// Letters, digits, spaces, accents, a character beyond the first plane: enough to reach every part of the pipeline.
const PROBE: &str = "Probe 2024: naïve  “text”,\n\tdon't 東京 🦀";

/// A token and the bytes of the text that it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlacedToken {
    pub id: i64,
    pub from: usize,
    pub to: usize,
}

/// A checked tokenizer.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    file: PathBuf,
    vocabulary: usize,
    special: SpecialTokens,
    /// The text of the token that an empty context stands for.
    prefix: Option<String>,
    /// What `config.json` and `tokenizer.json` alone would not say of the special tokens.
    said_beside: Option<Map<String, Value>>,
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
        let folder = file.parent().unwrap_or(Path::new(""));
        tokenizer.find_special(&|name| read_beside(folder, name, |file| read_limited(file).ok()))?;
        Ok(tokenizer)
    }

    /// The same from bytes; `file` is for messages only.
    ///
    /// # Errors
    /// As for `load`.
    pub fn from_bytes(bytes: &[u8], file: &Path, embedding_rows: Option<usize>) -> Result<Self, TokenizerError> {
        // UTF-16 is no JSON to the parser either, and is told so.
        let bytes = without_mark(bytes).unwrap_or(bytes);
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
        let (file, special) = (file.to_owned(), SpecialTokens::default());
        let mut tokenizer = Self { inner, file, vocabulary, special, prefix: None, said_beside: None };
        tokenizer.encode(PROBE)?;
        tokenizer.find_special(&|_| None)?;
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

    /// The ids of `text` as the model's input: with the tokens in front that it expects there.
    /// A text that begins with BOS itself gets no second one, as in lm-evaluation-harness.
    ///
    /// # Errors
    /// As for `encode`.
    pub fn encode_input(&self, text: &str) -> Result<Vec<i64>, TokenizerError> {
        let ids = self.encode(text)?;
        let begun = self.prefix.as_ref().is_some_and(|prefix| !prefix.is_empty() && text.starts_with(prefix));
        Ok(if begun { ids } else { [self.special.in_front.clone(), ids].concat() })
    }

    /// The ids of `text` as `encode` gives them, each with the first and the last byte of the text that it came from.
    ///
    /// # Errors
    /// As for `encode`.
    pub fn encode_with_offsets(&self, text: &str) -> Result<Vec<PlacedToken>, TokenizerError> {
        let failed = |message: String| TokenizerError::Encode { file: self.file.clone(), text: shown(text), message };
        let encoding =
            fenced(|| self.inner.encode(text, false)).map_err(failed)?.map_err(|error| failed(error.to_string()))?;
        let placed =
            |(id, (from, to)): (&u32, &(usize, usize))| PlacedToken { id: i64::from(*id), from: *from, to: *to };
        Ok(encoding.get_ids().iter().zip(encoding.get_offsets()).map(placed).collect())
    }

    /// The tokens with a part of their own.
    #[must_use]
    pub fn special(&self) -> &SpecialTokens {
        &self.special
    }

    /// The id that ends a sequence, where the model has one.
    #[must_use]
    pub fn end(&self) -> Option<i64> {
        self.special.end
    }

    /// The text of one id, spelled as in the vocabulary.
    #[must_use]
    pub fn token(&self, id: i64) -> Option<String> {
        self.inner.id_to_token(u32::try_from(id).ok()?)
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

    /// The `tokenizer_config.json` that has to go along with `config.json` and `tokenizer.json` for them to mean the same elsewhere;
    /// none where the two say it all.
    #[must_use]
    pub fn said_beside(&self) -> Option<&Map<String, Value>> {
        self.said_beside.as_ref()
    }

    /// `read` gives the JSON of a file beside tokenizer.json.
    fn find_special(&mut self, read: &dyn Fn(&str) -> Option<Value>) -> Result<(), TokenizerError> {
        let in_front = self.in_front()?;
        let special = self.special_of(read, in_front.clone());
        let alone = self.special_of(&|name| if name == MODEL { read(name) } else { None }, in_front);
        self.said_beside = (alone != special).then(|| special.file(|id| self.token(id)));
        self.prefix = special.prefix().map(|id| self.decode(&[id])).transpose()?;
        self.special = special;
        Ok(())
    }

    fn special_of(&self, read: &dyn Fn(&str) -> Option<Value>, in_front: Vec<i64>) -> SpecialTokens {
        let vocabulary = Vocabulary { id_of: &|token| self.id_of(token), size: self.vocabulary, in_front };
        let special = SpecialTokens::find(read, vocabulary);
        let usual = || END_TOKENS.iter().find_map(|token| self.id_of(token));
        SpecialTokens { end: special.end.or_else(usual), ..special }
    }

    /// What the post-processor puts before a text.
    fn in_front(&self) -> Result<Vec<i64>, TokenizerError> {
        let failed = |message: String| TokenizerError::Encode { file: self.file.clone(), text: shown(PROBE), message };
        let encoding =
            fenced(|| self.inner.encode(PROBE, true)).map_err(failed)?.map_err(|error| failed(error.to_string()))?;
        let marked = encoding.get_ids().iter().zip(encoding.get_special_tokens_mask());
        let ids: Vec<i64> = marked.take_while(|(_, mask)| **mask == 1).map(|(id, _)| i64::from(*id)).collect();
        match ids.iter().find(|id| **id >= self.vocabulary as i64) {
            Some(id) => {
                Err(failed(format!("its post-processor gives id {id}, but the vocabulary has {}", self.vocabulary)))
            }
            None => Ok(ids),
        }
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
