//! A second, simple reader of safetensors files: it shares no code with the program, so a disagreement is a finding.

use std::collections::BTreeMap;
use std::path::Path;

/// A file's tensors: shape and bytes by name.
pub struct Tensors {
    pub by_name: BTreeMap<String, (Vec<u64>, Vec<u8>)>,
}

/// Reads a file and accounts for every byte of it.
#[track_caller]
pub fn read(path: &Path) -> Tensors {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&bytes[8..8 + length]).expect("a header");
    let data = &bytes[8 + length..];
    let mut ranges = Vec::new();
    let mut by_name = BTreeMap::new();
    for (name, entry) in header.iter().filter(|(name, _)| *name != "__metadata__") {
        let number = |value: &serde_json::Value| value.as_u64().expect("a number");
        let offsets: Vec<u64> = entry["data_offsets"].as_array().expect("offsets").iter().map(number).collect();
        let shape: Vec<u64> = entry["shape"].as_array().expect("a shape").iter().map(number).collect();
        assert_eq!(entry["dtype"], "F32", "{name}");
        assert_eq!(offsets[1] - offsets[0], 4 * shape.iter().product::<u64>(), "{name}");
        ranges.push((offsets[0], offsets[1]));
        by_name.insert(name.clone(), (shape, data[offsets[0] as usize..offsets[1] as usize].to_vec()));
    }
    ranges.sort_unstable();
    let end = ranges.iter().fold(0, |end, range| {
        assert_eq!(range.0, end, "{}: a hole or an overlap", path.display());
        range.1
    });
    assert_eq!(end, data.len() as u64, "{}: bytes that belong to no tensor", path.display());
    Tensors { by_name }
}

/// True where `needle` stands anywhere in `haystack`.
pub fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
