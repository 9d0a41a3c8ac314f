//! The inputs that mutations start from: the ordinary config, model and questions, a finished run, a packed plugin. Made once.

use behaviour::{copy, finished_run, library, repository};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A suite of two methods on the ordinary config.
const SUITE: &str = "version = 1\noutput = \"suite\"\ntasks = [\"arc_easy\"]\nseeds = [1]\n\n[[method]]\nname = \"drop\"\n\
                     config = \"configs/ci.toml\"\n\n[[method]]\nname = \"other\"\nconfig = \"configs/ci.toml\"\n\
                     set = [\"replace.count=1\"]\n\n[axes]\n\"tune.learning_rate\" = [1e-3, 1e-4]\n";

pub struct Base {
    /// Everything that a case finds in its folder.
    folder: tempfile::TempDir,
}

impl Base {
    pub fn new() -> Self {
        let base = Self { folder: behaviour::scratch() };
        let root = base.folder.path();
        fs::create_dir(root.join("configs")).unwrap();
        fs::copy(repository().join(behaviour::CONFIG), root.join(behaviour::CONFIG)).unwrap();
        copy(&repository().join("tests/fixtures"), &root.join("tests/fixtures"));
        copy(finished_run(), &root.join("run"));
        fs::write(root.join("suite.toml"), SUITE).unwrap();
        base.pack();
        base
    }

    /// A plugin in a folder of its own, with its manifest and a lock of it.
    fn pack(&self) {
        let root = self.folder.path();
        fs::create_dir(root.join("packed")).unwrap();
        let file = root.join("packed/libshortgpt.so");
        fs::copy(library("libshortgpt.so"), &file).unwrap();
        let words = ["plugin", "pack", file.to_str().unwrap(), "--publisher", "tests", "--license", "Apache-2.0"];
        behaviour::scaleot(words).expect(0);
        let lock = ["plugin", "lock", "configs/ci.toml"];
        let mut command = behaviour::command(lock);
        assert!(command.current_dir(root).stdout(Stdio::null()).status().unwrap().success());
        fs::rename(root.join("configs/scaleot.lock"), root.join("packed/lock")).unwrap();
    }

    /// A folder with all of it, for one case to spoil.
    pub fn scratch(&self) -> tempfile::TempDir {
        let folder = behaviour::scratch();
        copy(self.folder.path(), folder.path());
        folder
    }
}

/// Every file below a folder, by its path from there.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut unread = vec![folder.to_path_buf()];
    while let Some(inner) = unread.pop() {
        for entry in fs::read_dir(&inner).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { unread.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// Makes everything in a manifest right again, as whoever wants to deceive would.
pub fn seal(folder: &Path) {
    let path = folder.join("manifest.json");
    let Ok(mut manifest) = serde_json::from_slice::<serde_json::Value>(&fs::read(&path).unwrap()) else { return };
    let Some(object) = manifest.as_object_mut() else { return };
    for (name, entry) in object.get_mut("files").and_then(|files| files.as_object_mut()).into_iter().flatten() {
        if let Ok(bytes) = fs::read(folder.join(name)) {
            *entry = serde_json::json!({ "sha256": behaviour::tree::digest(&bytes), "size": bytes.len() });
        }
    }
    object.remove("identity");
    let identity = behaviour::tree::digest(format!("{manifest:#}\n").as_bytes());
    manifest["identity"] = identity.into();
    fs::write(path, format!("{manifest:#}\n")).unwrap();
}
