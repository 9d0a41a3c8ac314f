//! Text to token ids and back, by the model's own `tokenizer.json`.
//!
//! Load order: size, byte-order mark, JSON, our check (`tokenizer_check`), then the library behind a fence, then a probe.
//! `encode` adds no special tokens, truncates nothing and pads nothing, whatever the file asks for:
//! a question cut short by a forgotten `truncation` entry would give a wrong score without a sign.
//! `encode_input` puts the tokens in front that the model expects there (`special_tokens`).

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::error::{TokenizerError, quote};
use super::fence::fenced;
use super::special_tokens::{FILE, MAP, MODEL, SpecialTokens, Vocabulary};
use super::tokenizer_check::{added_tokens, check};
use scaleot_store::{foreign_json, without_mark};

/// Larger than any published tokenizer (the largest known are some 35 MB).
const FILE_LIMIT: u64 = 256 << 20;
/// Tried, in order, when neither tokenizer_config.json nor config.json names the end token.
const END_TOKENS: [&str; 4] = ["<|endoftext|>", "</s>", "<|im_end|>", "<|end_of_text|>"];
/// Letters, digits, spaces, accents, a character beyond the first plane: enough to reach every part of the pipeline.
const PROBE: &str = "Probe 2024: naïve  “text”,\n\tdon't 東京 🦀";

/// Files of other tokenizers, from which Transformers makes a `tokenizer.json`.
const OTHER_KINDS: [&str; 7] = [
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
];
/// Characters shown on either side of a token that a text must not have.
const AROUND: usize = 24;

/// A token and the bytes of the text that it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PlacedToken {
    pub id: i64,
    pub from: usize,
    pub to: usize,
}

/// A checked tokenizer.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    file: PathBuf,
    vocabulary: usize,
    /// Ids that the model has rows for.
    rows: Option<usize>,
    /// Added tokens to which the library gives another id than the file, by the library's id: token, id of the file.
    displaced: HashMap<u32, (String, u64)>,
    special: SpecialTokens,
    /// The text of the token that an empty context stands for.
    prefix: Option<String>,
    /// Special tokens as `config.json` and `tokenizer.json` alone would not give them.
    words_beside: Option<Map<String, Value>>,
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
    /// A fault of the file, or with a file beside it that names the end token; `embedding_rows` is the size that the
    /// ids of a text must stay below.
    pub fn load(path: &Path, embedding_rows: Option<usize>) -> Result<Self, TokenizerError> {
        let file = if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() };
        let bytes = read_limited(&file)?;
        let mut tokenizer = Self::from_bytes(&bytes, &file, embedding_rows)?;
        tokenizer.find_special(Some(file.parent().unwrap_or(Path::new(""))))?;
        Ok(tokenizer)
    }

    /// The same from bytes; `file` is for messages only.
    ///
    /// # Errors
    /// As for `load`.
    pub fn from_bytes(bytes: &[u8], file: &Path, embedding_rows: Option<usize>) -> Result<Self, TokenizerError> {
        let bytes = without_mark(bytes).map_err(|source| TokenizerError::Encoding { file: file.to_owned(), source })?;
        let root: Value =
            serde_json::from_slice(bytes).map_err(|source| TokenizerError::Json { file: file.to_owned(), source })?;
        let vocabulary = check(&root, file)?;
        let refused = |message: String| TokenizerError::Library { file: file.to_owned(), message: quote(&message) };
        let mut inner = fenced(|| tokenizers::Tokenizer::from_bytes(bytes))
            .map_err(refused)?
            .map_err(|error| refused(error.to_string()))?;
        inner.with_truncation(None).map_err(|error| refused(error.to_string()))?;
        inner.with_padding(None);
        let displaced = added_tokens(&root).filter_map(|(token, said)| {
            let given = inner.token_to_id(token).filter(|given| u64::from(*given) != said)?;
            Some((given, (token.to_owned(), said)))
        });
        let displaced = displaced.collect();
        drop(root);
        let file = file.to_owned();
        let (special, rows) = (SpecialTokens::default(), embedding_rows);
        let mut tokenizer =
            Self { inner, file, vocabulary, rows, displaced, special, prefix: None, words_beside: None };
        // What its ids are is for the texts to care about.
        tokenizer.encoding(PROBE)?;
        tokenizer.find_special(None)?;
        Ok(tokenizer)
    }

    /// The ids of `text`, without special tokens of its own.
    ///
    /// # Errors
    /// The library's message, or that of its panic; a token that the model has no row for, or whose id is not certain.
    pub fn encode(&self, text: &str) -> Result<Vec<i64>, TokenizerError> {
        let encoding = self.encoding(text)?;
        self.check_ids(text, encoding.get_ids())?;
        Ok(encoding.get_ids().iter().map(|id| i64::from(*id)).collect())
    }

    fn check_ids(&self, text: &str, ids: &[u32]) -> Result<(), TokenizerError> {
        let rows = self.rows.unwrap_or(self.vocabulary) as i64;
        let suspect = |id: &u32| i64::from(*id) >= rows || self.displaced.contains_key(id);
        if ids.iter().any(suspect) { self.check_tokens(text, rows) } else { Ok(()) }
    }

    fn encoding(&self, text: &str) -> Result<tokenizers::Encoding, TokenizerError> {
        let failed = |message: String| TokenizerError::Encode { file: self.file.clone(), text: quote(text), message };
        fenced(|| self.inner.encode_fast(text, false)).map_err(failed)?.map_err(|error| failed(error.to_string()))
    }

    /// Refuses the first token that a text must not have, and says where it stands: encodes again, with the tokens and offsets
    /// that `encode_fast` leaves out.
    fn check_tokens(&self, text: &str, rows: i64) -> Result<(), TokenizerError> {
        let failed = |text: &str, message: String| TokenizerError::Encode {
            file: self.file.clone(),
            text: quote(text),
            message,
        };
        let encoding = fenced(|| self.inner.encode(text, false))
            .map_err(|message| failed(text, message))?
            .map_err(|error| failed(text, error.to_string()))?;
        let tokens = encoding.get_tokens().iter().zip(encoding.get_ids()).zip(encoding.get_offsets());
        for ((token, &id), &(start, end)) in tokens {
            let message = if i64::from(id) >= rows {
                format!(
                    "the token {} has id {id}, but the model's embedding has {rows} rows. Leave the token out of the text, or take the tokenizer of this model",
                    quote(token)
                )
            } else if let Some((_, said)) = self.displaced.get(&id).filter(|(displaced, _)| displaced == token) {
                format!(
                    "the file gives the added token {} id {said}, the tokenizers library gives it {id}, because the ids of the added tokens do not follow those of the vocabulary. Leave the token out of the text, or add it to model.vocab with its id",
                    quote(token)
                )
            } else {
                continue;
            };
            return Err(failed(excerpt(text, start, end), message));
        }
        Ok(())
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
    pub(crate) fn encode_input(&self, text: &str) -> Result<Vec<i64>, TokenizerError> {
        let ids = self.encode(text)?;
        let begun = self.prefix.as_ref().is_some_and(|prefix| !prefix.is_empty() && text.starts_with(prefix));
        Ok(if begun { ids } else { [self.special.in_front.clone(), ids].concat() })
    }

    /// The ids of `text` as `encode` gives them, each with the first and the last byte of the text that it came from.
    ///
    /// # Errors
    /// As for `encode`.
    pub(crate) fn encode_with_offsets(&self, text: &str) -> Result<Vec<PlacedToken>, TokenizerError> {
        let failed = |message: String| TokenizerError::Encode { file: self.file.clone(), text: quote(text), message };
        let encoding =
            fenced(|| self.inner.encode(text, false)).map_err(failed)?.map_err(|error| failed(error.to_string()))?;
        self.check_ids(text, encoding.get_ids())?;
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

    /// `tokenizer.json` of what was loaded, and of nothing else that stood in the file: without `truncation` and `padding`,
    /// which belong to a use.
    ///
    /// # Errors
    /// The library's message.
    pub fn to_json(&self) -> Result<String, TokenizerError> {
        self.inner
            .to_string(false)
            .map_err(|error| TokenizerError::Library { file: self.file.clone(), message: quote(&error.to_string()) })
    }

    /// The `tokenizer_config.json` that has to go along with `config.json` and `tokenizer.json` for them to mean the same elsewhere;
    /// none where the two say it all.
    #[must_use]
    pub fn words_beside(&self) -> Option<&Map<String, Value>> {
        self.words_beside.as_ref()
    }

    /// Finds the special tokens in the files of `folder`, or, without one, `tokenizer.json` alone. They may be absent, not
    /// broken: other tokens would be taken in silence.
    fn find_special(&mut self, folder: Option<&Path>) -> Result<(), TokenizerError> {
        let mut found = HashMap::new();
        for name in [FILE, MAP, MODEL] {
            let file = folder.map(|folder| read_beside(folder, name)).transpose()?.flatten();
            found.extend(file.map(|value| (name, value)));
        }
        let in_front = self.leading_ids()?;
        let special = self.special_of(&|name| found.get(name).cloned(), in_front.clone());
        let alone = self.special_of(&|name| found.get(name).filter(|_| name == MODEL).cloned(), in_front);
        self.words_beside = (alone != special).then(|| special.file(|id| self.token(id)));
        self.prefix = special.prefix().map(|id| self.decode(&[id])).transpose()?;
        self.special = special;
        Ok(())
    }

    fn special_of(&self, read: &dyn Fn(&str) -> Option<Value>, in_front: Vec<i64>) -> SpecialTokens {
        let size = self.rows.unwrap_or(self.vocabulary);
        // A token that the model has no row for cannot stand in a text.
        let id_of = |token: &str| self.id_of(token).filter(|id| *id < size as i64);
        let special = SpecialTokens::find(read, Vocabulary { id_of: &id_of, size, in_front });
        let usual = || END_TOKENS.iter().find_map(|token| id_of(token));
        SpecialTokens { end: special.end.or_else(usual), ..special }
    }

    /// Ids that the post-processor puts before a text.
    fn leading_ids(&self) -> Result<Vec<i64>, TokenizerError> {
        let failed = |message: String| TokenizerError::Encode { file: self.file.clone(), text: quote(PROBE), message };
        let encoding =
            fenced(|| self.inner.encode(PROBE, true)).map_err(failed)?.map_err(|error| failed(error.to_string()))?;
        let marked = encoding.get_ids().iter().zip(encoding.get_special_tokens_mask());
        let ids: Vec<i64> = marked.take_while(|(_, mask)| **mask == 1).map(|(id, _)| i64::from(*id)).collect();
        let rows = self.rows.unwrap_or(self.vocabulary);
        match ids.iter().find(|id| **id >= rows as i64) {
            Some(id) => Err(failed(format!("its post-processor gives id {id}, expected one below {rows}"))),
            None => Ok(ids),
        }
    }
}

/// A file beside the tokenizer, where it is.
fn read_beside(folder: &Path, name: &str) -> Result<Option<Value>, TokenizerError> {
    let file = folder.join(name);
    if fs::symlink_metadata(&file).is_err() {
        return Ok(None);
    }
    let bytes = read_limited(&file)?;
    foreign_json::parse(&bytes).map(Some).map_err(|problem| TokenizerError::Foreign { file, problem })
}

/// The part of a text about a token.
fn excerpt(text: &str, start: usize, end: usize) -> &str {
    let before = text.get(..start).unwrap_or_default().char_indices().rev().take(AROUND).last();
    let after = text.get(end..).and_then(|rest| rest.char_indices().nth(AROUND));
    let from = before.map_or(start, |(at, _)| at);
    text.get(from..after.map_or(text.len(), |(at, _)| end + at)).unwrap_or(text)
}

/// The error for a tokenizer that could not be opened: it names what stands in its place, if that can be told.
fn open_error(file: &Path, source: std::io::Error) -> TokenizerError {
    let file = file.to_owned();
    if source.kind() != std::io::ErrorKind::NotFound {
        return TokenizerError::Read { file, source };
    }
    if let Ok(target) = fs::read_link(&file) {
        return TokenizerError::DanglingLink { file, target };
    }
    match OTHER_KINDS.into_iter().find(|name| file.with_file_name(name).exists()) {
        Some(found) => TokenizerError::OtherKind { file, found },
        None => TokenizerError::Read { file, source },
    }
}

fn read_limited(file: &Path) -> Result<Vec<u8>, TokenizerError> {
    let failed = |source| TokenizerError::Read { file: file.to_owned(), source };
    let opened = fs::File::open(file).map_err(|source| open_error(file, source))?;
    let found = opened.metadata().map_err(failed)?.len();
    if found > FILE_LIMIT {
        return Err(TokenizerError::TooLarge { file: file.to_owned(), found, limit: FILE_LIMIT });
    }
    let mut bytes = Vec::with_capacity(found as usize);
    // A pipe or a growing file has no honest length; the limit holds while reading too.
    opened.take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
