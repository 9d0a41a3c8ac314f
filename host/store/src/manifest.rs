//! `manifest.json`: what a folder of ours holds, to the byte.
//!
//! Rule: it lists every other file with size and SHA-256, keys are strict,
//! the bytes are in canonical form, and `identity` is the SHA-256 of the manifest without it, so a change anywhere
//! in the folder is seen and the identity names the whole folder's content.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::atomic_file::{AtomicFile, FileRecord};
use super::byte_order_mark::without_mark;
use super::digest::Digest;
use super::error::StoreError;
use super::names::{FILE_NAME_RULE, is_file_name};
use super::regular_file::regular_file;
use super::strict_json::{self, JsonError};
use crate::escape::escape;

/// The manifest's file name in every folder.
pub(crate) const MANIFEST_NAME: &str = "manifest.json";
/// A folder lists at most this many files.
pub(crate) const MAX_FILES: usize = 10_000;
/// A manifest has at most this many bytes.
const MAX_BYTES: u64 = 16 << 20;
/// The program and version that write manifests.
pub(crate) const CREATED_BY: &str = concat!("scaleot ", env!("CARGO_PKG_VERSION"));

/// The kind of folder a writer makes or a reader expects, and the newest version that this program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManifestHead {
    pub format: &'static str,
    pub version: u32,
}

/// One listed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    pub size: u64,
    pub sha256: Digest,
}

/// The content of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub format: String,
    pub format_version: u32,
    pub created_by: String,
    pub files: BTreeMap<String, FileEntry>,
    /// The body of the stage that wrote the folder, in its own strict type.
    pub body: Value,
    identity: Digest,
}

impl Manifest {
    /// A manifest of `files` with the writer's own `body`.
    pub fn new(head: ManifestHead, files: BTreeMap<String, FileEntry>, body: Value) -> Self {
        let mut manifest = Self {
            format: head.format.to_owned(),
            format_version: head.version,
            created_by: CREATED_BY.to_owned(),
            files,
            body,
            identity: Digest::of(b""),
        };
        manifest.identity = manifest.compute_identity();
        manifest
    }

    /// The SHA-256 that stands for the whole folder.
    pub fn identity(&self) -> Digest {
        self.identity
    }

    /// Writes `manifest.json` into `folder`, after everything that it lists.
    ///
    /// # Errors
    /// A place that is closed, or a full disk.
    pub fn write(&self, folder: &Path) -> Result<FileRecord, StoreError> {
        let path = folder.join(MANIFEST_NAME);
        let too_many = self.files.len() > MAX_FILES;
        if too_many {
            return Err(too_many_files(path, self.files.len()));
        }
        let mut file = AtomicFile::create(&path)?.for_manifest();
        file.put(&strict_json::canonical(&self.to_value()))?;
        file.commit()
    }

    /// Reads and checks the manifest alone; the files that it lists are not opened.
    ///
    /// # Errors
    /// A manifest that is missing, of another format, newer, or changed after it was written.
    pub fn read(folder: &Path, head: ManifestHead) -> Result<Self, StoreError> {
        Self::read_as(folder, Some(head))
    }

    /// The manifest of a folder of any format of ours.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn of(folder: &Path) -> Result<Self, StoreError> {
        Self::read_as(folder, None)
    }

    fn read_as(folder: &Path, head: Option<ManifestHead>) -> Result<Self, StoreError> {
        let path = folder.join(MANIFEST_NAME);
        let bytes = read_bytes(&path)?;
        // We write none, and the form is the one that we write.
        if without_mark(&bytes).map_or(true, |text| text.len() < bytes.len()) {
            let problem =
                "found a byte-order mark or another encoding than UTF-8: the manifest was changed after it was written";
            return Err(StoreError::ManifestShape { path, problem: problem.to_owned() });
        }
        let value = strict_json::parse(&bytes).map_err(|JsonError { offset, problem }| StoreError::Json {
            path: path.clone(),
            offset,
            problem,
        })?;
        if let Some(head) = head {
            check_head(&path, &value, head)?;
        }
        let manifest: Self = serde_json::from_value(value)
            .map_err(|error| StoreError::ManifestShape { path: path.clone(), problem: escape(&error.to_string()) })?;
        manifest.check(&path, &bytes)?;
        Ok(manifest)
    }

    fn check(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        if self.files.len() > MAX_FILES {
            return Err(too_many_files(path.to_path_buf(), self.files.len()));
        }
        if let Some(name) = self.files.keys().find(|name| !is_file_name(name) || *name == MANIFEST_NAME) {
            return Err(StoreError::BadName { path: path.to_path_buf(), name: escape(name), expected: FILE_NAME_RULE });
        }
        let expected = self.compute_identity();
        if self.identity != expected {
            return Err(StoreError::Identity { path: path.to_path_buf(), found: self.identity, expected });
        }
        let written = strict_json::canonical(&self.to_value());
        if written != bytes {
            let offset = written.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            return Err(StoreError::NotCanonical { path: path.to_path_buf(), offset });
        }
        Ok(())
    }

    fn compute_identity(&self) -> Digest {
        let mut value = self.to_value();
        if let Value::Object(map) = &mut value {
            map.remove("identity");
        }
        Digest::of(&strict_json::canonical(&value))
    }

    fn to_value(&self) -> Value {
        serde_json::json!({
            "format": self.format,
            "format_version": self.format_version,
            "created_by": self.created_by,
            "files": self.files,
            "body": self.body,
            "identity": self.identity,
        })
    }
}

fn too_many_files(path: PathBuf, found: usize) -> StoreError {
    StoreError::TooMany { path, what: "files", found, limit: MAX_FILES }
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, StoreError> {
    let size = regular_file(path)?.len();
    if size > MAX_BYTES {
        return Err(StoreError::TooLarge { path: path.to_path_buf(), found: size, limit: MAX_BYTES });
    }
    fs::read(path).map_err(|source| StoreError::read(path, source))
}

/// Format and version come before strict keys: a newer format may have keys that we do not know.
fn check_head(path: &Path, value: &Value, head: ManifestHead) -> Result<(), StoreError> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(escape);
    let shape = |problem: &str| StoreError::ManifestShape { path: path.to_path_buf(), problem: problem.to_owned() };
    let format = text("format").ok_or_else(|| shape("found no string `format`, expected the format's name"))?;
    if format != head.format {
        let expected = head.format.to_owned();
        return Err(StoreError::Format { path: path.to_path_buf(), found: format, expected });
    }
    let version = value.get("format_version").and_then(Value::as_u64);
    let found =
        version.ok_or_else(|| shape("found no whole number `format_version`, expected the format's version"))?;
    if found > u64::from(head.version) {
        let created_by = text("created_by").unwrap_or_else(|| "an unnamed program".to_owned());
        return Err(StoreError::NewerFormat {
            path: path.to_path_buf(),
            format,
            created_by,
            found,
            newest: head.version,
        });
    }
    Ok(())
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
