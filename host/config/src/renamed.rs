//! Keys that were renamed: an old one is refused by a sentence that names the new one.

use toml::{Table, Value};

use super::error::ConfigError;
use super::place::{KeyPath, Places};

/// Old keys and the new ones in their place.
pub(super) const RENAMED: [(&str, &str); 4] = [
    ("adapter.adapter_layers", "adapter.layers"),
    ("data.public_text", "public_data.text"),
    ("replace.replace_count", "replace.count"),
    ("replace.replace_ratio", "replace.ratio"),
];

/// Refuses the old name of a key, wherever it was written.
pub(super) fn refuse_old_keys(written: &Table, places: &Places) -> Result<(), ConfigError> {
    for (old, new) in RENAMED {
        let Some((section, key)) = old.split_once('.') else { continue };
        if written.get(section).and_then(Value::as_table).is_some_and(|table| table.contains_key(key)) {
            let key = KeyPath::of(old);
            return Err(ConfigError::Renamed { place: places.of(&key), key, new });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunConfig;
    use std::path::Path;

    #[test]
    fn every_old_key_is_refused_by_the_new_one_s_name() {
        for (old, new) in RENAMED {
            let (section, key) = old.split_once('.').unwrap();
            let path = Path::new("mine.toml");
            let text = format!("version = 1\noutput = \"run\"\n[{section}]\n{key} = 1\n");
            let refused = RunConfig::parse(path, &text, &[]).unwrap_err().to_string();
            assert_eq!(refused, format!("mine.toml, line 4: key `{old}`: is called `{new}` now"));
            let overriding = format!("{old}=1");
            let refused = RunConfig::parse(path, "version = 1\noutput = \"run\"\n", &[overriding]).unwrap_err();
            assert_eq!(refused.to_string(), format!("override `{old}=1`: key `{old}`: is called `{new}` now"));
            assert_eq!(refused.blamed_override(), Some(format!("{old}=1").as_str()));
        }
    }

    #[test]
    fn new_keys_are_keys_and_old_ones_are_none() {
        let schema = crate::show::schema();
        let known = |key: &str| {
            let (section, key) = key.split_once('.').unwrap();
            schema.pointer(&format!("/properties/{section}/properties/{key}")).is_some()
        };
        for (old, new) in RENAMED {
            assert!(!known(old) && known(new), "{old}, {new}");
        }
    }
}
