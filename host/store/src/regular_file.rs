//! Regular files told from links, folders, pipes and devices.

use super::error::StoreError;
use std::fs::{self, FileType, Metadata};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// The metadata of `path` itself, refused unless it is a regular file (a link is not followed).
pub(super) fn regular_file(path: &Path) -> Result<Metadata, StoreError> {
    let metadata = fs::symlink_metadata(path).map_err(|source| StoreError::read(path, source))?;
    let kind = metadata.file_type();
    if kind.is_file() {
        Ok(metadata)
    } else {
        Err(StoreError::NotRegular { path: path.to_path_buf(), found: kind_name(kind) })
    }
}

/// Kind of a path, in a word for messages.
pub fn kind_name(kind: FileType) -> &'static str {
    match kind {
        _ if kind.is_symlink() => "link",
        _ if kind.is_dir() => "folder",
        _ if kind.is_fifo() => "named pipe",
        _ if kind.is_socket() => "socket",
        _ if kind.is_block_device() || kind.is_char_device() => "device",
        _ => "regular file",
    }
}
