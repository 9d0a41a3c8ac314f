//! Folders as values: every file with its digest, and the identities that manifests give.

use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// Digest of every file by its path in `folder`; the lock is left out, which every verb takes.
pub fn tree(folder: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut unread = vec![folder.to_path_buf()];
    while let Some(inner) = unread.pop() {
        let Ok(listing) = std::fs::read_dir(&inner) else { continue };
        for entry in listing {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(folder).expect("inside").display().to_string();
            if path.is_dir() {
                unread.push(path);
            } else if name != ".lock" {
                files.insert(name, digest(&std::fs::read(&path).expect("a file")));
            }
        }
    }
    files
}

/// SHA-256 in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The identity of an artefact's folder.
#[track_caller]
pub fn identity(folder: &Path) -> String {
    let path = folder.join("manifest.json");
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let manifest: serde_json::Value = serde_json::from_slice(&text).expect("a manifest");
    manifest["identity"].as_str().expect("an identity").to_owned()
}

/// The identities of all finished stages of a run, by stage.
pub fn identity_of_stages(run: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(run).expect("a run").map(|entry| entry.expect("an entry").path());
    let stages = entries.filter(|path| path.join("manifest.json").is_file());
    stages.map(|path| (path.file_name().expect("a name").to_string_lossy().into_owned(), identity(&path))).collect()
}
