//! 28 to 42: safetensors files, exit 3; the header's faults are told with their byte.

use super::table::{Table, model_in};

/// A file of this header and so many bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(vec![0; data]);
    bytes
}

/// One tensor of one number, with this entry.
fn one(entry: &str) -> Vec<u8> {
    file(&format!("{{\"a\":{entry}}}"), 4)
}

fn cases() -> Vec<(&'static str, Vec<u8>)> {
    let good = "{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}";
    let length = |length: u64| [length.to_le_bytes().to_vec(), b"{}".to_vec()].concat();
    vec![
        ("28 no bytes", Vec::new()),
        ("28 seven bytes", vec![0; 7]),
        ("28 eight bytes", vec![0; 8]),
        ("29 length of 64 bits", length(u64::MAX)),
        ("29 longer than the file", length(3)),
        ("29 a hundred megabytes", length(100_000_001)),
        ("30 not UTF-8", [2_u64.to_le_bytes().to_vec(), vec![b'{', 0xff]].concat()),
        ("30 not JSON", file("{\"a\":", 0)),
        ("30 an array", file("[]", 0)),
        ("30 nested", file(&format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200)), 0)),
        ("31 name twice", file(&format!("{{\"a\":{good},\"a\":{good}}}"), 4)),
        ("33 unknown key", one("{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}")),
        ("34 hole", file(&format!("{{\"a\":{good},\"b\":{}}}", good.replace("[0,4]", "[8,12]")), 12)),
        ("34 overlap", file(&format!("{{\"a\":{good},\"b\":{good}}}"), 4)),
        ("34 trailing bytes", file(&format!("{{\"a\":{good}}}"), 9)),
        ("34 reversed", one(&good.replace("[0,4]", "[4,0]"))),
        ("34 past the end", one(&good.replace("[0,4]", "[0,400]"))),
        ("35 shape and range", one(&good.replace("[1]", "[2]"))),
        ("36 overflow", one(&good.replace("[1]", "[0,9223372036854775807]"))),
        ("37 dimensions", one(&good.replace("[1]", &format!("[{}1]", "1,".repeat(99_999))))),
        ("38 unknown type", one(&good.replace("F32", "F4"))),
        ("39 negative", one(&good.replace("[1]", "[-1]"))),
        ("39 exponent", one(&good.replace("[1]", "[1e0]"))),
        ("40 empty name", file(&format!("{{\"\":{good}}}"), 4)),
        ("40 NUL and a terminal escape", file(&format!("{{\"a\\u0000\\u001b[31m\":{good}}}"), 4)),
        ("40 a path", file(&format!("{{\"../../x\":{good}}}"), 4)),
        ("41 number as metadata", file(&format!("{{\"__metadata__\":{{\"k\":1}},\"a\":{good}}}"), 4)),
    ]
}

#[test]
fn a_safetensors_file_is_refused_by_byte() {
    let mut table = Table::new();
    let model = model_in(table.folder.path(), "model");
    let path = format!("model.path={}", model.display());
    for (name, bytes) in cases() {
        std::fs::write(model.join("model.safetensors"), bytes).unwrap();
        table.verb(name, 3, "importance", &[&path]);
    }
    insta::assert_snapshot!(table.said());
}
