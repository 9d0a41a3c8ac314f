//! The adapted model as a Hugging Face folder: what the owner deploys. The original folder is untouched.

use crate::error::StageError;
use crate::load::companions;
use scaleot_model::{ConfigKeys, Decoder, write_hf_folder};
use scaleot_store::{StageDir, StoreError, is_file_name};
use std::fs::File;
use std::path::Path;

/// Writes config, weights (low-rank deltas merged) and the files that go along into a stage.
///
/// # Errors
/// An adapter that no Hugging Face folder can hold (a bottleneck, a soft prompt), or a full disk.
pub fn export(decoder: &Decoder, original: &Path, stage: &mut StageDir) -> Result<(), StageError> {
    let records = write_hf_folder(decoder, stage.path(), ConfigKeys::Owners, None)?;
    for record in &records {
        stage.list(&record.name, record);
    }
    // A manifest can list no other name.
    for name in companions(original)?.into_iter().filter(|name| is_file_name(name)) {
        let path = original.join(&name);
        let mut from = File::open(&path).map_err(|source| StoreError::read(&path, source))?;
        stage.write(&name, |file| std::io::copy(&mut from, file).map(drop))?;
    }
    Ok(())
}
