//! Needs of a verb that a config must meet before it starts: each party's config has only what that party's verbs need.

use super::error::ConfigError;
use super::place::KeyPath;
use super::sections::RunConfig;

/// Something that a verb needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigNeed {
    /// The model folder.
    Model,
    /// The private data: the task and its folder, or text files.
    Data,
    /// The number of layers that give way.
    Replaced,
    /// The owner's public text files, as far as the config names or needs some.
    PublicText,
    /// The task folder for the tasks of `evaluate`, and its text files.
    Evaluate,
}

impl RunConfig {
    /// Refuses a config without what `verb` needs: a key that is missing, a path that is not there or is of another kind.
    ///
    /// # Errors
    /// The key and the verb, or the key and the path.
    pub fn require(&self, need: ConfigNeed, verb: &'static str) -> Result<(), ConfigError> {
        match need {
            ConfigNeed::Model => match self.model.folder() {
                Some(path) => self.folder("model.path", path),
                None => Err(self.needed("model.path", "a model folder in the Hugging Face layout", verb)),
            },
            ConfigNeed::Data if self.data.task.is_some() => self.folder("data.folder", &self.data.folder),
            ConfigNeed::Data if self.data.text.is_empty() => Err(self.neither("data", "task", "text", verb)),
            ConfigNeed::Data => self.files("data.text", &self.data.text),
            ConfigNeed::Replaced => {
                let replace = &self.replace;
                if replace.ratio.is_some() || replace.count.is_some() {
                    return Ok(());
                }
                Err(self.neither("replace", "ratio", "count", verb))
            }
            ConfigNeed::PublicText if self.train.is_some() && self.public_data.text.is_empty() => {
                Err(self.no_public_text())
            }
            ConfigNeed::PublicText => self.files("public_data.text", &self.public_data.text),
            ConfigNeed::Evaluate => {
                if !self.evaluate.tasks.is_empty() {
                    self.folder("data.folder", &self.data.folder)?;
                }
                self.files("evaluate.text", &self.evaluate.text)
            }
        }
    }

    /// The refusal of an owner's training without public text.
    pub fn no_public_text(&self) -> ConfigError {
        let key = KeyPath::of("public_data").key("text");
        let expected = "one or more UTF-8 files, because the config has a [train]".to_owned();
        ConfigError::Value { place: self.places.of(&key), key, found: "no file".to_owned(), expected }
    }

    fn needed(&self, key: &str, expected: &'static str, verb: &'static str) -> ConfigError {
        let key = KeyPath::of(key);
        ConfigError::Needed { place: self.places.of(&key), key, expected, verb }
    }

    fn neither(&self, section: &str, first: &str, second: &str, verb: &'static str) -> ConfigError {
        let section = KeyPath::of(section);
        let place = self.places.of(&section);
        ConfigError::Neither { place, first: section.key(first), second: section.key(second), verb }
    }
}
