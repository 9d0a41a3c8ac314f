//! Mutations of JSON that stay JSON: a value, key or entry is another one.

use super::{odd, random::Random, text};
use serde_json::Value;

/// Changes a text of JSON; says how.
pub fn spoil(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let Some(mut value) = serde_json::from_slice::<Value>(bytes).ok().filter(|_| !random.once_in(5)) else {
        return text::spoil(bytes, random);
    };
    let times = 1 + random.below(2);
    let what: Vec<String> = (0..times).map(|_| value_of(&mut value, random)).collect();
    *bytes = serde_json::to_vec(&value).expect("JSON");
    what.join(", ")
}

/// Walks down a few levels and changes what is there. Wide lists count as one step, so that small keys are met as often.
pub fn value_of(value: &mut Value, random: &mut Random) -> String {
    let deeper = !random.once_in(4);
    match value {
        Value::Object(map) if !map.is_empty() => {
            let keys: Vec<String> = map.keys().cloned().collect();
            let key = random.pick(&keys).clone();
            if deeper && map[&key].is_object() | map[&key].is_array() {
                return format!("{key:.40}.{}", value_of(map.get_mut(&key).expect("the key"), random));
            }
            match random.below(5) {
                0 => drop(map.remove(&key)),
                1 => {
                    let moved = map.remove(&key).expect("the key");
                    map.insert(format!("{key}x"), moved);
                }
                _ => drop(map.insert(key.clone(), odd::json(random.below(1000)))),
            }
            format!("{key:.40}: now {:.60}", map.get(&key).map_or("gone".to_owned(), Value::to_string))
        }
        Value::Array(list) if !list.is_empty() => {
            let at = random.below(list.len());
            if deeper && list[at].is_object() | list[at].is_array() {
                return format!("[{at}].{}", value_of(&mut list[at], random));
            }
            match random.below(4) {
                0 => drop(list.remove(at)),
                1 => list.insert(at, list[at].clone()),
                _ => list[at] = odd::json(random.below(1000)),
            }
            format!("[{at}]")
        }
        other => {
            *other = odd::json(random.below(1000));
            format!("{other:.60}")
        }
    }
}
