//! Side: model owner. Takes: a model folder. Gives: the model, its tokenizer, its outline and fingerprint. Plugin kind: none.

mod companions;
mod fingerprint;
mod outline;
mod placement;

pub use companions::{companions, files, is_legal};
pub use fingerprint::fingerprint;
pub use outline::{layers_of_config, outline};
pub use placement::Placement;

use crate::error::StageError;
use scaleot_data::Tokenizer;
use std::path::Path;

/// Loads a folder's `tokenizer.json`, which must fit the embedding.
///
/// # Errors
/// The fault of the file.
pub fn load_tokenizer(folder: &Path, vocabulary: usize) -> Result<Tokenizer, StageError> {
    Ok(Tokenizer::load(&folder.join("tokenizer.json"), Some(vocabulary))?)
}
