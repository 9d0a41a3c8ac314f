//! The fingerprint of a model: SHA-256 over the digests of its config, tokenizer and weight files, in the order of their names.
//!
//! The weight files are those that the model was loaded from: what else lies in the folder changes nothing. A link counts as
//! the file that it leads to, so a snapshot of the Hub's cache has the fingerprint of the plain folder. What
//! `tokenizer_config.json` adds about the tokens around a text counts as well, since scores depend on it.
//! A return is only plugged into the model whose fingerprint its bundle was cut from.

use crate::error::StageError;
use scaleot_data::Tokenizer;
use scaleot_model::Weights;
use scaleot_store::{Digest, digest_file};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The fingerprint of a model folder and the weights that were opened in it.
///
/// # Errors
/// A file that cannot be read.
pub fn fingerprint(folder: &Path, weights: &Weights) -> Result<Digest, StageError> {
    let beside = ["config.json", "tokenizer.json"].map(|name| folder.join(name));
    let mut files: Vec<PathBuf> = weights.files().map(Path::to_path_buf).collect();
    files.extend(beside.into_iter().filter(|file| file.exists()));
    files.sort();
    let mut text = String::new();
    for file in files {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        text += &format!("{name} {}\n", digest_file(&file)?.0);
    }
    // A folder without a tokenizer says so where one is used; one that is broken must not pass for the one of before.
    let tokenizer = folder.join("tokenizer.json").exists().then(|| Tokenizer::load(folder, None)).transpose()?;
    if let Some(said) = tokenizer.as_ref().and_then(Tokenizer::words_beside) {
        text += &format!("special tokens {}\n", Value::Object(said.clone()));
    }
    Ok(Digest::of(text.as_bytes()))
}
