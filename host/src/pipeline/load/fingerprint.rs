//! What a model is known by: SHA-256 over the digests of its config, tokenizer and weight files, in the order of their names.
//!
//! What `tokenizer_config.json` adds about the tokens around a text counts as well, since scores depend on it.
//!
//! A return is only plugged into the model whose fingerprint its bundle was cut from.

use crate::data::Tokenizer;
use crate::pipeline::error::StageError;
use crate::store::{Digest, StoreError, digest_file};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The fingerprint of a model folder.
///
/// # Errors
/// A file that cannot be read.
pub fn fingerprint(folder: &Path) -> Result<Digest, StageError> {
    let listing = std::fs::read_dir(folder).map_err(|source| StoreError::read(folder, source))?;
    let mut files: Vec<PathBuf> = listing.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.retain(|file| {
        let is_weights = file.extension().is_some_and(|extension| extension == "safetensors");
        is_weights || file.file_name().is_some_and(|name| name == "config.json" || name == "tokenizer.json")
    });
    files.sort();
    let mut text = String::new();
    for file in files {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        text += &format!("{name} {}\n", digest_file(&file)?.0);
    }
    // A tokenizer that cannot be read says so where it is used.
    let tokenizer = Tokenizer::load(folder, None).ok();
    if let Some(said) = tokenizer.as_ref().and_then(Tokenizer::said_beside) {
        text += &format!("special tokens {}\n", Value::Object(said.clone()));
    }
    Ok(Digest::of(text.as_bytes()))
}
