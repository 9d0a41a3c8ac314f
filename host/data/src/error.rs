//! The errors of a tokenizer, a task file, a question file or a text.
//!
//! Every message says: where, what was found, what was expected, what to do.
//! Foreign strings are shown escaped and shortened (`quote`), so a hostile file cannot write on the terminal.

use std::path::PathBuf;

use scaleot_store::ForeignEncoding;
use scaleot_store::escape::escape_to;
use scaleot_store::exit_code::{ExitCode, HasExitCode};
use scaleot_store::foreign_json::ForeignJsonError;

/// `text` in quotes, safe to print, at most 60 characters of it.
pub(crate) fn quote(text: &str) -> String {
    format!("\"{}\"", escape_to(text, 60))
}

/// The first thing in a packed batch that no model can run.
#[derive(Debug, thiserror::Error)]
#[error("batch: {what} is {found}, expected {expected}")]
pub struct BatchError {
    pub what: String,
    pub found: String,
    pub expected: String,
}

/// Why a `tokenizer.json` was refused, or could not encode or decode.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    #[error("{}: cannot read the tokenizer: {source}. Every model folder needs its tokenizer.json", file.display())]
    Read { file: PathBuf, source: std::io::Error },
    #[error(
        "{}: not there, but {found} is. Make it with Transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
        file.display()
    )]
    OtherKind { file: PathBuf, found: &'static str },
    #[error(
        "{}: a link to {}, where nothing is. The download is unfinished, or a Hub cache was copied without its blobs: fetch the model again, or copy it with `cp -rL`",
        file.display(), target.display()
    )]
    DanglingLink { file: PathBuf, target: PathBuf },
    #[error("{}: {problem}", file.display())]
    Foreign { file: PathBuf, problem: ForeignJsonError },
    #[error("{}: found {found} bytes, expected at most {limit}: this is no tokenizer", file.display())]
    TooLarge { file: PathBuf, found: u64, limit: u64 },
    #[error("{}: {source}", file.display())]
    Encoding { file: PathBuf, source: ForeignEncoding },
    #[error("{}: not JSON: {source}. Expected a Hugging Face tokenizer.json; fetch it again from the model's source", file.display())]
    Json { file: PathBuf, source: serde_json::Error },
    #[error("{}: `{field}`: found {found}, expected {expected}. Fetch the file again, or mend it with the library that wrote it", file.display())]
    Field { file: PathBuf, field: String, found: String, expected: String },
    #[error("{}: the tokenizers library refused the file: {message}. Save it again with tokenizers 0.22 or older", file.display())]
    Library { file: PathBuf, message: String },
    #[error("{}: the text {text} cannot be encoded: {message}", file.display())]
    Encode { file: PathBuf, text: String, message: String },
    #[error("{}: {count} ids cannot be decoded: {message}", file.display())]
    Decode { file: PathBuf, count: usize, message: String },
}

/// Why a task, a question file or a text was refused.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("{}: cannot read: {source}. Check the path, or fetch the data set again", file.display())]
    Read { file: PathBuf, source: std::io::Error },
    #[error("{}: no {expected} in it ({found}). Fetch the data set again", file.display())]
    Empty { file: PathBuf, found: String, expected: &'static str },
    #[error("{}, line {line}: longer than {limit} bytes. Expected one question a line (JSON Lines)", file.display())]
    LongLine { file: PathBuf, line: usize, limit: usize },
    #[error("{}, line {line}: not UTF-8 from byte {byte} of the line. Save the file as UTF-8", file.display())]
    LineUtf8 { file: PathBuf, line: usize, byte: usize },
    #[error("{}: not UTF-8 from byte {byte}. Save the file as UTF-8", file.display())]
    Utf8 { file: PathBuf, byte: usize },
    #[error("{}: a NUL at byte {byte}: found a binary file, expected text", file.display())]
    Nul { file: PathBuf, byte: usize },
    #[error("{}: looks like {found}, expected {expected}. {advice}", file.display())]
    OtherKind { file: PathBuf, found: &'static str, expected: &'static str, advice: &'static str },
    #[error("{}: {message}", file.display())]
    Encoding { file: PathBuf, message: String },
    #[error("{}, line {line}: not a JSON object: {message}. Expected one question a line (JSON Lines)", file.display())]
    Line { file: PathBuf, line: usize, message: String },
    #[error("{}, line {line}: field `{field}`: found {found}, expected {expected}", file.display())]
    Field { file: PathBuf, line: usize, field: String, found: String, expected: String },
    #[error("{}, line {line}: the template `{key}` failed: {message}. Correct the template or the line", file.display())]
    Render { file: PathBuf, line: usize, key: &'static str, message: String },
    #[error("{file}: {message}. See the built-in task files for every key")]
    TaskSyntax { file: String, message: String },
    #[error("{file}: key `{key}`: found {found}, expected {expected}")]
    TaskKey { file: String, key: &'static str, found: String, expected: String },
    #[error("no task `{name}`{hint}. Known: {known}")]
    UnknownTask { name: String, hint: String, known: String },
    #[error("task `{task}` names no {split} split. It has: {known}")]
    NoSplit { task: String, split: &'static str, known: String },
    #[error(
        "{what}: {count} of {of} questions have an answer without a token of its own, since the tokenizer joins it with the end of the context: {shown}. Let the answers begin with a space (`target_delimiter`), or remove these questions"
    )]
    NoAnswerToken { what: String, count: usize, of: usize, shown: String },
    #[error(
        "{what}: the context is empty, and the model has neither a BOS nor an EOS token to stand for it. Name one in tokenizer_config.json, or remove the question"
    )]
    NoContext { what: String },
    #[error(
        "{what}, answer {text}: {found} tokens do not fit in a context of {limit} tokens. Raise the limit or remove the question"
    )]
    AnswerTooLong { what: String, text: String, found: usize, limit: usize },
    #[error(
        "{what}: every one of {count} samples is longer than the context of {limit} tokens. Raise the limit, or take a model with a longer context"
    )]
    AllTooLong { what: String, count: usize, limit: usize },
    #[error("{what}: found no sample, expected at least one. Add data, or name another file")]
    NoSample { what: String },
    #[error(
        "{what}: found {found} tokens, expected at least one window of {block_length}. Lower `block_length` in the section that names the text, or add text"
    )]
    TooLittleText { what: String, found: usize, block_length: usize },
    #[error(
        "{what}: found {found} tokens, expected at least two windows of {block_length}: one to train on and one held out. \
         Lower `block_length` in the section that names the text, or add text"
    )]
    NoHeldOut { what: String, found: usize, block_length: usize },
    #[error("`{key}`: found {found}, expected {expected}")]
    Option { key: &'static str, found: usize, expected: &'static str },
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

impl HasExitCode for TokenizerError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Refused
    }
}

impl HasExitCode for DataError {
    /// Usage for a wish of a config or a task file, refusal for the contents of a data file.
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::TaskSyntax { .. }
            | Self::TaskKey { .. }
            | Self::UnknownTask { .. }
            | Self::NoSplit { .. }
            | Self::Option { .. } => ExitCode::Usage,
            _ => ExitCode::Refused,
        }
    }
}
