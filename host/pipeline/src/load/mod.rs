//! Side: model owner. Takes: a model folder. Gives: the model, its tokenizer, its outline and fingerprint. Plugin kind: none.

mod fingerprint;
mod outline;

pub use fingerprint::fingerprint;
pub use outline::{layers_of_config, outline};

use super::error::StageError;
use scaleot_data::Tokenizer;
use scaleot_model::Model;
use scaleot_tensor::{Device, Dtype};
use std::path::Path;

/// Loads a model folder; weights stay mapped.
///
/// # Errors
/// What is wrong with the folder, naming file, key or tensor.
pub fn load_model(folder: &Path, device: Device, dtype: Dtype) -> Result<Model, StageError> {
    Ok(Model::load(folder, device, dtype)?)
}

/// Loads a folder's `tokenizer.json`, which must fit the embedding.
///
/// # Errors
/// What is wrong with the file.
pub fn load_tokenizer(folder: &Path, vocabulary: usize) -> Result<Tokenizer, StageError> {
    Ok(Tokenizer::load(&folder.join("tokenizer.json"), Some(vocabulary))?)
}
