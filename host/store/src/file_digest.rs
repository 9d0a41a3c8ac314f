//! The digest of a whole file.

use std::fs::File;
use std::path::Path;

use super::digest::{Digest, digest_reader};
use super::error::StoreError;

/// The digest and length of a file, read in pieces.
///
/// # Errors
/// A file that cannot be read.
pub fn digest_file(path: &Path) -> Result<(Digest, u64), StoreError> {
    let file = File::open(path).map_err(|source| StoreError::read(path, source))?;
    digest_reader(file).map_err(|source| StoreError::read(path, source))
}
