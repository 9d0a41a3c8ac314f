//! The place of a config's key in the words of a message.

use scaleot_config::{KeyPath, RunConfig};

/// The place where a key was written, for messages that others begin.
pub fn place(config: &RunConfig, key: &KeyPath) -> String {
    format!("{}: key `{key}`", config.places().of(key))
}
