//! `scaleot-plugin.toml`: what a plugin is, in a file beside its library that is read without loading any code.
//!
//! Its digests tell whether the library is the one that was described; they are no pins, since whoever changes the one file can
//! change the other. Strict keys, bounded size, names and versions checked like any foreign file.

use super::compatible::check_api;
use super::discover::SearchPath;
use super::error::PluginFault;
use super::option_rows::OptionRow;
use super::strict_toml::{plain_text, read_toml};
use scaleot_plugin_api::{PLUGIN_NAME_RULE, PluginRecord, StrategyKind, is_plugin_name};
use scaleot_store::{Digest, is_name_part};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

/// The file's name.
pub const MANIFEST_FILE: &str = "scaleot-plugin.toml";
/// The newest version of its format.
const FORMAT: u32 = 1;
const LIMIT: u64 = 1 << 18;

/// The description of a plugin's library, with its publisher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginManifest {
    /// Version of this format.
    pub format: u32,
    pub name: String,
    pub version: String,
    /// One sentence.
    pub about: String,
    /// The maker of this file; nothing proves it.
    pub publisher: String,
    /// As in Cargo's `license`.
    pub licence: String,
    /// Publication of the method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<String>,
    /// The plugin API that it was built with.
    pub api: String,
    /// The library's file, beside this one.
    pub library: String,
    pub built_with: BuiltWith,
    /// SHA-256 of every file.
    pub files: BTreeMap<String, Digest>,
    pub strategies: Vec<ManifestStrategy>,
}

/// The tools that the library was made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuiltWith {
    /// As the compiler wrote it into the library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rustc: Option<String>,
    /// The libtorch that it shares with the host, `major.minor`; none for a plugin that does without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libtorch: Option<String>,
    /// The target triple.
    pub target: String,
}

/// One strategy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestStrategy {
    pub name: String,
    pub kind: StrategyKind,
    pub about: String,
    #[serde(default)]
    pub options: Vec<OptionRow>,
}

impl PluginManifest {
    /// The manifest of a library that has greeted.
    pub fn new(record: &PluginRecord, library: (String, Digest), built_with: BuiltWith) -> Self {
        let strategies = record.strategies.iter().map(|strategy| ManifestStrategy {
            name: strategy.name.clone(),
            kind: strategy.kind,
            about: strategy.about.clone(),
            options: super::option_rows::option_rows(&strategy.options),
        });
        Self {
            format: FORMAT,
            name: record.name.clone(),
            version: record.version.clone(),
            about: record.about.clone(),
            publisher: String::new(),
            licence: String::new(),
            paper: None,
            api: record.api_version.clone(),
            library: library.0.clone(),
            built_with,
            files: BTreeMap::from([library]),
            strategies: strategies.collect(),
        }
    }

    /// The manifest that lies beside a library and is its own.
    ///
    /// # Errors
    /// `Manifest` for one that cannot be read.
    pub fn beside(library: &Path) -> Result<Option<Self>, PluginFault> {
        let path = library.with_file_name(MANIFEST_FILE);
        if !path.exists() {
            return Ok(None);
        }
        let manifest = Self::read(&path)?;
        Ok(library.file_name().is_some_and(|name| *name == *manifest.library).then_some(manifest))
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// `Manifest`, naming the file and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, PluginFault> {
        let refused = |problem: String| PluginFault::Manifest { path: path.into(), problem };
        let advised = |problem: String| refused(format!("{problem}; its author writes it with `scaleot plugin pack`"));
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(|error| refused(error.to_string()))?;
        file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(|error| refused(error.to_string()))?;
        if bytes.len() as u64 > LIMIT {
            return Err(refused(format!("found more than {LIMIT} bytes")));
        }
        let text = plain_text(&bytes).map_err(refused)?;
        // The format stands first: a newer one may differ in anything else.
        let format = toml::from_str::<toml::Table>(text).ok().and_then(|table| table.get("format")?.as_integer());
        if let Some(found) = format.filter(|found| *found > FORMAT.into()) {
            return Err(refused(format!(
                "found format {found}; this program reads up to {FORMAT}: use a newer scaleot"
            )));
        }
        let manifest: Self = read_toml(text).map_err(advised)?;
        manifest.check().map_err(advised)?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        if !is_plugin_name(name) {
            return Err(format!("name: found {name:?}, expected {PLUGIN_NAME_RULE}"));
        }
        let library = SearchPath::file_name(name);
        if self.library != library || !self.files.contains_key(&library) {
            return Err(format!("library: found {:?}, expected {library:?}, with a digest in [files]", self.library));
        }
        if let Some(bad) = self.files.keys().find(|file| !is_name_part(file) || *file == MANIFEST_FILE) {
            return Err(format!("files: found {bad:?}, expected the name of a file beside the manifest"));
        }
        Ok(())
    }

    /// Checks that the file beside it is the one that it describes, and one that this host can run.
    ///
    /// # Errors
    /// `Refused` or `Incompatible`; nothing was loaded.
    pub fn check_library(&self, path: &Path, digest: Digest) -> Result<(), PluginFault> {
        let found = digest.to_string();
        if let Some(expected) = self.files.get(&self.library).filter(|expected| **expected != digest) {
            let reason = format!(
                "{MANIFEST_FILE} beside it describes a library of sha256 {expected}; get both files again from its author"
            );
            return Err(PluginFault::Refused { path: path.into(), digest: found, reason });
        }
        check_api(&self.api).map_err(|reason| super::library::incompatible(path, &found, reason))
    }

    /// Checks that the loaded library says the same of itself.
    ///
    /// # Errors
    /// `Manifest`, with what differs.
    pub fn check_record(&self, record: &PluginRecord, library: &Path) -> Result<(), PluginFault> {
        let said = [
            ("name", &self.name, &record.name),
            ("version", &self.version, &record.version),
            ("api", &self.api, &record.api_version),
        ];
        match said.into_iter().find(|(_, manifest, library)| manifest != library) {
            Some((key, manifest, own)) => Err(PluginFault::Manifest {
                path: library.with_file_name(MANIFEST_FILE),
                problem: format!(
                    "found {key} = {manifest:?}, expected {own:?}, as {} says of itself; \
                     its author writes it with `scaleot plugin pack`",
                    self.library
                ),
            }),
            None => Ok(()),
        }
    }

    /// The file's text.
    pub fn to_toml(&self) -> String {
        // Strings, numbers and lists of them: TOML can hold them.
        let text = toml::to_string(self).unwrap_or_default();
        format!("# What this plugin is. Written by `scaleot plugin pack`; change the code, then pack again.\n\n{text}")
    }
}
