//! The adapted model as a Hugging Face folder: what the owner deploys. The original folder is untouched.

use crate::model::{Decoder, write_hf_folder};
use crate::pipeline::error::StageError;
use crate::store::{StageDir, StoreError};
use std::path::Path;

/// Files that go along with exported weights as they are, where the original folder has them.
pub const COMPANIONS: [&str; 7] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
];

/// Writes config, weights (low-rank deltas merged) and the tokenizer's files into a stage.
///
/// # Errors
/// An adapter that no Hugging Face folder can hold (a bottleneck, a soft prompt), or a full disk.
pub fn export(decoder: &Decoder, original: &Path, stage: &mut StageDir) -> Result<(), StageError> {
    let records = write_hf_folder(decoder, stage.path(), None)?;
    for record in &records {
        stage.list(&record.name, record);
    }
    for name in COMPANIONS {
        let path = original.join(name);
        match std::fs::read(&path) {
            Ok(bytes) => stage.write_bytes(name, &bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(StoreError::read(&path, source).into()),
        }
    }
    Ok(())
}
