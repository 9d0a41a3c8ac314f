//! Every plugin in reach and how it stands, with as little code loaded as can be: a library with a manifest is described by
//! that, one without is loaded where that is allowed.

use super::discover::{Found, SearchPath};
use super::error::PluginFault;
use super::library::{check_library, read_library};
use super::manifest::PluginManifest;
use super::registry::Registry;
use scaleot_store::Digest;
use std::path::PathBuf;

/// The state of a library that was found.
#[derive(Debug)]
pub enum Standing {
    /// It was loaded, and its plugin is registered under this name.
    Loaded(String),
    /// Its manifest describes it, and its digest is right; nothing of it was loaded.
    Described(Box<PluginManifest>, Digest),
    /// Another library of its name comes first.
    Hidden(PathBuf),
    /// It would not be loaded.
    Refused(PluginFault),
}

/// A library on the search path.
#[derive(Debug)]
pub struct Surveyed {
    pub found: Found,
    pub standing: Standing,
}

impl Registry {
    /// Every library on the search path.
    pub fn survey(&mut self) -> Vec<Surveyed> {
        let mut surveyed: Vec<Surveyed> = Vec::new();
        for found in self.search.all() {
            let first = surveyed.iter().find(|first| first.found.path.file_name() == found.path.file_name());
            let standing = match first {
                Some(first) => Standing::Hidden(first.found.path.clone()),
                None => self.stand(&found).unwrap_or_else(Standing::Refused),
            };
            surveyed.push(Surveyed { found, standing });
        }
        surveyed
    }

    /// The description of a plugin, taken without loading it where possible.
    ///
    /// # Errors
    /// `NotFound`, or why the library was refused.
    pub fn look_up(&mut self, name: &str) -> Result<Surveyed, PluginFault> {
        let found = self.locate(name)?;
        let standing = self.stand(&found)?;
        Ok(Surveyed { found, standing })
    }

    fn stand(&mut self, found: &Found) -> Result<Standing, PluginFault> {
        let Some(manifest) = PluginManifest::beside(&found.path)? else {
            let known = self.registered(&SearchPath::plugin_name(&found.path).unwrap_or_default());
            if let Some(plugin) = known.filter(|plugin| plugin.is_from(&found.path)) {
                return Ok(Standing::Loaded(plugin.record.name.clone()));
            }
            return Ok(Standing::Loaded(self.load(found, None)?.record.name.clone()));
        };
        let bytes = read_library(&found.path)?;
        let digest = Digest::of(&bytes);
        manifest.check_library(&found.path, digest)?;
        check_library(&found.path, &bytes, digest)?;
        Ok(Standing::Described(Box::new(manifest), digest))
    }
}
