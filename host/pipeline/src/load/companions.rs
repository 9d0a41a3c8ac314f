//! The small files of the owner's model folder that go along with an adapted model, byte for byte: what its tokenizer, its
//! generation and its licence need. The adapted model stays its owner's, so they may say where it comes from.
//!
//! The model card does not go along: it describes the model before the adapter, with figures that are no longer true.

use scaleot_store::StoreError;
use std::path::Path;

/// Files of Transformers beside config and weights.
const NAMES: [&str; 11] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
];
/// SentencePiece and tiktoken vocabularies, chat templates, and the code that `auto_map` of a kept config names.
const ENDINGS: [&str; 4] = [".model", ".tiktoken", ".jinja", ".py"];
/// Legal texts, whatever their ending.
const LEGAL: [&str; 5] = ["license", "licence", "notice", "copying", "use_policy"];
/// Transformers' folder of chat templates beyond the first.
const TEMPLATES: &str = "additional_chat_templates";

/// True where a file's name is that of a legal text.
pub fn is_legal(name: &str) -> bool {
    let name = name.to_lowercase().replace('-', "_");
    LEGAL.iter().any(|word| name.starts_with(word))
}

fn goes_along(name: &str) -> bool {
    NAMES.contains(&name) || ENDINGS.iter().any(|ending| name.ends_with(ending)) || is_legal(name)
}

/// Names of the files of `folder` that go along, in order; links are followed, as in a download cache.
///
/// # Errors
/// A folder that cannot be read.
pub fn companions(folder: &Path) -> Result<Vec<String>, StoreError> {
    let mut names: Vec<String> = files(folder)?.into_iter().filter(|name| goes_along(name)).collect();
    let templates = folder.join(TEMPLATES);
    if templates.is_dir() {
        let jinja = files(&templates)?.into_iter().filter(|name| name.ends_with(".jinja"));
        names.extend(jinja.map(|name| format!("{TEMPLATES}/{name}")));
    }
    names.sort();
    Ok(names)
}

/// Names of the regular files directly in a folder.
pub fn files(folder: &Path) -> Result<Vec<String>, StoreError> {
    let listing = std::fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let entries = listing.map_err(|source| StoreError::read(folder, source))?;
    let names = entries.iter().filter(|entry| entry.path().is_file()).map(|entry| entry.file_name());
    Ok(names.filter_map(|name| name.into_string().ok()).filter(|name| !name.starts_with('.')).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_along_and_what_stays() {
        let folder = tempfile::tempdir().unwrap();
        let along =
            ["LICENSE", "LICENCE.txt", "Notice.md", "USE_POLICY.md", "use-policy.txt", "COPYING", "tokenizer.model"];
        let along = along.into_iter().chain(["spiece.model", "chat_template.jinja", "modeling_own.py"]).chain(NAMES);
        let stays =
            ["README.md", "config.json", "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"];
        for name in along.clone().chain(stays).chain([".hidden.model"]) {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        std::fs::create_dir(folder.path().join(TEMPLATES)).unwrap();
        std::fs::write(folder.path().join(TEMPLATES).join("rag.jinja"), "x").unwrap();
        std::fs::create_dir(folder.path().join("license.d")).unwrap();
        let mut expected: Vec<String> = along.map(str::to_owned).collect();
        expected.push("additional_chat_templates/rag.jinja".to_owned());
        expected.sort();
        assert_eq!(companions(folder.path()).unwrap(), expected);
    }
}
