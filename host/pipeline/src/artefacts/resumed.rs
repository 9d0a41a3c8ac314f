//! A stage taken up from its newest checkpoint.

use super::tensor_file::TensorFile;
use crate::error::StageError;
use scaleot_store::{Checkpoints, StoreError, VerifiedFolder};
use serde::de::DeserializeOwned;

/// The newest whole checkpoint of the same inputs.
pub struct Resumed<T> {
    /// The step that it was made after.
    pub step: u64,
    /// The part that is no tensor.
    pub state: T,
    folder: VerifiedFolder,
}

impl<T: DeserializeOwned> Resumed<T> {
    /// The checkpoint to go on from, if there is one; `log` hears of it, and of those that do not count.
    ///
    /// # Errors
    /// A checkpoint that cannot be read although its digests are right.
    pub fn latest(checkpoints: &Checkpoints<'_>, log: &mut dyn FnMut(&str)) -> Result<Option<Self>, StageError> {
        let latest = checkpoints.latest()?;
        latest.passed_over().iter().for_each(|sentence| log(sentence));
        let Some((step, folder)) = latest.found else { return Ok(None) };
        let state = Checkpoints::state(&folder)?;
        log(&format!("continuing from the checkpoint at step {step}"));
        Ok(Some(Self { step, state, folder }))
    }
}

impl<T> Resumed<T> {
    /// A file of bytes.
    ///
    /// # Errors
    /// A file that it does not have.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, StageError> {
        let path = self.folder.file(name)?;
        Ok(std::fs::read(&path).map_err(|source| StoreError::read(&path, source))?)
    }

    /// A file of tensors.
    ///
    /// # Errors
    /// A file that it does not have, or a damaged one.
    pub fn tensors(&self, name: &str) -> Result<TensorFile, StageError> {
        TensorFile::open(&self.folder.file(name)?)
    }

    /// A file of tensors, where anything had any.
    ///
    /// # Errors
    /// A damaged file.
    pub fn tensors_if_any(&self, name: &str) -> Result<Option<TensorFile>, StageError> {
        if self.folder.has(name) { self.tensors(name).map(Some) } else { Ok(None) }
    }
}
