//! The origin of a value, so that a message can point at it.
//!
//! Rule: a key's place is that of the key itself or of the nearest written table around it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use scaleot_store::escape::escape_to;

/// A key with the tables around it, such as `replace.options.rank` or `evaluate.tasks[1]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct KeyPath(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Segment {
    Key(String),
    Index(usize),
}

impl KeyPath {
    /// The path of plain keys divided by dots.
    pub fn of(dotted: &str) -> Self {
        Self(dotted.split('.').filter(|part| !part.is_empty()).map(|part| Segment::Key(part.to_owned())).collect())
    }

    /// This path and a key within it.
    pub fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.to_owned()))
    }

    /// This path and a position within its list.
    pub fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    fn with(&self, segment: Segment) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment);
        Self(segments)
    }

    fn parent(&self) -> Option<Self> {
        let (_, around) = self.0.split_last()?;
        Some(Self(around.to_vec()))
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            let dot = if position == 0 { "" } else { "." };
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) if is_bare(key) => write!(f, "{dot}{key}")?,
                Segment::Key(key) => write!(f, "{dot}\"{}\"", escape_to(key, 60))?,
            }
        }
        Ok(())
    }
}

/// True of a key that TOML takes without quotes; longer ones are cut when printed.
pub(super) fn is_bare(key: &str) -> bool {
    (1..=60).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// One place of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line of the file, counted from 1.
    Line { path: PathBuf, line: usize },
    /// An override of the command line.
    Override { text: String },
    /// The file as a whole, for a key that is not written.
    File { path: PathBuf },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Override { text } => write!(f, "override `{text}`"),
            Self::File { path } => write!(f, "{}", path.display()),
        }
    }
}

/// The places of all keys of one config.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places {
    path: PathBuf,
    places: BTreeMap<KeyPath, Place>,
}

impl Places {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), places: BTreeMap::new() }
    }

    pub(super) fn put_line(&mut self, key: KeyPath, line: usize) {
        self.places.insert(key, Place::Line { path: self.path.clone(), line });
    }

    pub(super) fn put_override(&mut self, key: KeyPath, text: &str) {
        // What stood below the key in the file is gone.
        self.places.retain(|other, _| !other.0.starts_with(&key.0));
        self.places.insert(key, Place::Override { text: escape_to(text, 120) });
    }

    /// The config file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The place of a key.
    pub fn of(&self, key: &KeyPath) -> Place {
        let mut key = Some(key.clone());
        while let Some(path) = key {
            if let Some(place) = self.places.get(&path) {
                return place.clone();
            }
            key = path.parent();
        }
        Place::File { path: self.path.clone() }
    }

    /// Of two keys' places in the file, the one further down.
    pub(super) fn later(&self, first: &KeyPath, second: &KeyPath) -> Place {
        let line = |place: &Place| if let Place::Line { line, .. } = place { *line } else { 0 };
        let (first, second) = (self.of(first), self.of(second));
        if line(&first) > line(&second) { first } else { second }
    }

    /// True of a key that is written, or lies in a table that an override sets as one value.
    pub(super) fn is_set(&self, key: &KeyPath) -> bool {
        let within = |place: &Place| matches!(place, Place::Override { .. });
        self.places.contains_key(key) || within(&self.of(key))
    }

    /// The place that a key itself was written at; `None` for a default.
    pub fn written(&self, key: &KeyPath) -> Option<&Place> {
        self.places.get(key)
    }
}
