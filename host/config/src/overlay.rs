//! Defaults, file and command line laid over each other.
//!
//! Rule: the later layer wins key by key; of two keys that exclude each other, a later one removes an earlier one;
//! a new `use` removes the options of the strategy before it, which the new one would not know.

use toml::{Table, Value};

use super::error::ConfigError;
use super::place::{KeyPath, Places, is_bare};
use super::source;
use scaleot_store::escape::escape_to;

/// Keys of one section of which only one may be given.
pub(super) const EXCLUSIVE: [(&str, &str, &str); 5] = [
    ("data", "task", "text"),
    ("replace", "ratio", "count"),
    ("train", "epochs", "steps"),
    ("tune", "epochs", "steps"),
    ("full_tuning", "epochs", "steps"),
];

/// Lays `over` on `base`; both are whole configs or parts of one.
pub(super) fn overlay(base: &mut Table, over: Table) {
    overlay_section(base, over, "");
}

fn overlay_section(base: &mut Table, over: Table, section: &str) {
    for (_, first, second) in EXCLUSIVE.iter().filter(|(name, _, _)| *name == section) {
        if over.contains_key(*first) || over.contains_key(*second) {
            base.remove(*first);
            base.remove(*second);
        }
    }
    if over.get("use").is_some_and(|new| base.get("use") != Some(new))
        && let Some(Value::Table(options)) = base.get_mut("options")
    {
        options.clear();
    }
    for (key, value) in over {
        // Only sections have rules; a deeper table of a section's name is none.
        let inner = if section.is_empty() { key.as_str() } else { "-" }.to_owned();
        match (base.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => overlay_section(below, above, &inner),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Refuses a key that a command line sets twice: an order of arguments is no sign of which one was meant.
///
/// # Errors
/// The key, with both overrides.
pub fn refuse_twice(overrides: &[String]) -> Result<(), ConfigError> {
    let key_of = |text: &String| text.split_once('=').map(|(key, _)| key.trim().to_owned());
    for (index, text) in overrides.iter().enumerate() {
        let Some(key) = key_of(text) else { continue };
        if let Some(first) = overrides.iter().take(index).find(|earlier| key_of(earlier).as_ref() == Some(&key)) {
            let (first, second) = (escape_to(first, 120), escape_to(text, 120));
            return Err(ConfigError::OverrideTwice { key: KeyPath::of(&key), first, second });
        }
    }
    Ok(())
}

/// Lays one `key.path=value` of the command line on `base`.
///
/// # Errors
/// An override that is not of that form, or whose value is none.
pub fn apply(base: &mut Table, text: &str, places: &mut Places) -> Result<(), ConfigError> {
    let refused = |problem: &str| ConfigError::Override { text: escape_to(text, 120), problem: problem.to_owned() };
    let (path, value) = text.split_once('=').ok_or_else(|| refused("found no `=`"))?;
    let keys: Vec<_> = path.trim().split('.').collect();
    if !keys.iter().all(|key| is_bare(key)) {
        return Err(refused("found a key that is not made of letters, digits, `_` and `-`"));
    }
    if value.trim().is_empty() {
        return Err(refused("found nothing after the `=`"));
    }
    let key = KeyPath::of(path.trim());
    places.put_override(key.clone(), text);
    let value = match source::parse_value(value.trim(), &key, places)? {
        Some(value) => value,
        None if value.contains(['\0', '\n', '\r']) => return Err(refused("found a line break or NUL in the value")),
        // So that `output=runs/a` needs no quotes within the shell's.
        None => Value::String(value.trim().to_owned()),
    };
    let nest = |inner: Value, key: &&str| Value::Table(Table::from_iter([((*key).to_owned(), inner)]));
    if let Value::Table(over) = keys.iter().rev().fold(value, nest) {
        overlay(base, over);
    }
    Ok(())
}
