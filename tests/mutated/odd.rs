//! What stands where something else is expected.

use serde_json::{Value, json};

/// Words of a command line.
pub const WORDS: [&str; 34] = [
    "",
    "-",
    "--",
    "-1",
    "0",
    "1",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775808",
    "1e400",
    "nan",
    "-inf",
    "0.5",
    "true",
    "null",
    "=",
    "a=b",
    "tune.steps=",
    "seed=-1",
    "runtime.threads=4294967295",
    "tune.batch_size=4294967295",
    "data.block_length=1",
    "evaluate.batch_tokens=1",
    "replace.replace_count=0",
    "--json",
    "--help",
    "--quiet",
    "--threads",
    ".",
    "..",
    "/",
    "/dev/null",
    "\u{202e}\u{1b}[31m\u{feff}",
    "configs",
];

/// Values of TOML.
pub const TOML: [&str; 26] = [
    "\"\"",
    "0",
    "-1",
    "1",
    "2",
    "9223372036854775807",
    "-9223372036854775808",
    "1e308",
    "-0.0",
    "1e-320",
    "nan",
    "inf",
    "true",
    "[]",
    "{}",
    "[[]]",
    "[1, \"a\"]",
    "\"a/b\"",
    "\"\\u0000\"",
    "\"\\u202e\\u001b[31m\"",
    "\"/\"",
    "\"..\"",
    "1979-05-27",
    "\"scaleot/harmonizer\"",
    "4294967296",
    "\"é\u{1F600}\u{0301}\"",
];

/// Pieces of text.
pub const PIECES: [&[u8]; 22] = [
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\n",
    b"\r",
    b"\"",
    b"'",
    b"{",
    b"}",
    b"[[",
    b"]",
    b"=",
    b",",
    b"#",
    b"-1",
    b"1e999",
    b"99999999999999999999",
    b"nan",
    "\u{202e}".as_bytes(),
    "\u{1F600}\u{0301}".as_bytes(),
    b"../",
    b"\\u",
];

/// Values of JSON.
pub fn json(at: usize) -> Value {
    let all = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1),
        json!(3),
        json!(u64::MAX),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(1_u64 << 32),
        json!(1_000_000_007),
        json!(1e308),
        json!(-1e-320),
        json!(0.5),
        json!(""),
        json!("x".repeat(5000)),
        json!("é\u{1F600}\u{0301}\u{202e}".repeat(100)),
        json!("../x"),
        json!("\0"),
        json!([]),
        json!({}),
        json!([[[]]]),
        json!({"": {"": null}}),
        json!("1"),
        json!(["a", 1, null]),
        json!(2.0),
        json!(127),
        json!(65535),
    ];
    all[at % all.len()].clone()
}

/// A nest that a careless parser falls out of.
pub fn nest(depth: usize) -> Vec<u8> {
    [vec![b'['; depth], vec![b']'; depth]].concat()
}
