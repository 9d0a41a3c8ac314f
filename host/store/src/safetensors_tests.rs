//! Bad headers, numbered n28 to n42, each with its exact message; files of our writer, which are read back.

use super::super::finite::check_finite;
use super::super::safetensors_write::{TensorSource, WriteError, write_safetensors, write_safetensors_file};
use super::*;
use crate::exit_code::{ExitCode, HasExitCode as _};
use proptest::prelude::*;

const A: &str = r#""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;

/// The refusal of a file, without its path.
fn refuse_file(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let error = check_safetensors(file.path()).expect_err("the file must be refused");
    assert_eq!(error.exit_code(), ExitCode::Refused);
    error.to_string().replace(&format!("{}: ", file.path().display()), "")
}

fn file_of(header: &[u8], data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, &vec![0; data]].concat()
}

fn check(header: &str, data: usize, expected: &str) {
    assert_eq!(refuse_file(&file_of(header.as_bytes(), data)), expected, "{header}");
}

/// A header with one tensor entry of the given text.
fn check_entry(entry: &str, expected: &str) {
    check(&format!(r#"{{"a":{entry}}}"#), 8, expected);
}

#[test]
fn n28_shorter_than_a_header() {
    for length in [0, 1, 7] {
        let expected =
            format!("header byte 0: found a file of {length} bytes, expected at least 8 for the header's length");
        assert_eq!(refuse_file(&vec![0; length]), expected);
    }
    assert_eq!(refuse_file(&[0; 8]), "header byte 0: found a header length of 0, expected 2 to 16777216");
}

#[test]
fn n29_impossible_header_lengths() {
    for length in [u64::MAX, 100_000_001, 16_777_217, 0, 1] {
        let file = [&length.to_le_bytes()[..], b"{}"].concat();
        let expected = format!("header byte 0: found a header length of {length}, expected 2 to 16777216");
        assert_eq!(refuse_file(&file), expected);
    }
    let file = [&3_u64.to_le_bytes()[..], b"{}"].concat();
    assert_eq!(
        refuse_file(&file),
        "header byte 0: found a header length of 3, expected at most the 2 bytes that follow it"
    );
}

#[test]
fn n30_headers_that_are_no_json_object() {
    let not_utf8 = file_of(b"{\"a\xff\":1}", 0);
    assert_eq!(refuse_file(&not_utf8), "header byte 3: found a byte that is not UTF-8");
    check("{nonsense", 0, "header byte 1: key must be a string");
    check("[]", 0, "header byte 0: found byte 0x5b, expected `{`");
    check("  {}", 0, "header byte 0: found byte 0x20, expected `{`");
    check("{} x", 0, "header byte 3: found `x` after the header's last `}`, expected spaces only");
    check("{}\n", 0, "header byte 2: found `\\u{a}` after the header's last `}`, expected spaces only");
    check(
        &"{\"a\":".repeat(200),
        0,
        "tensor `a`, header byte 6: found the key `a`, expected `dtype`, `shape` or `data_offsets`",
    );
    let nested = format!("{{\"a\":{{\"shape\":{}", "[".repeat(200));
    check(&nested, 0, "header byte 16: invalid type: sequence, expected a dimension");
}

#[test]
fn n31_a_name_twice_with_one_range() {
    check(&format!("{{{A},{A}}}"), 8, "tensor `a`, header byte 54: the name stands twice");
}

#[test]
fn n32_a_name_twice_hiding_a_shorter_range() {
    let hidden = r#""a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    check(&format!("{{{hidden},{A}}}"), 8, "tensor `a`, header byte 54: the name stands twice");
    check(
        r#"{"a":{"dtype":"U8","dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
        8,
        "tensor `a`, header byte 19: the key `dtype` stands twice",
    );
}

#[test]
fn n33_an_unknown_or_missing_key() {
    check_entry(
        r#"{"dtype":"F32","shape":[2],"data_offsets":[0,8],"run":"x"}"#,
        "tensor `a`, header byte 53: found the key `run`, expected `dtype`, `shape` or `data_offsets`",
    );
    check_entry(r#"{"shape":[2],"data_offsets":[0,8]}"#, "tensor `a`, header byte 1: the key `dtype` is missing");
    check_entry(r#"{"dtype":"F32","data_offsets":[0,8]}"#, "tensor `a`, header byte 1: the key `shape` is missing");
    check_entry(r#"{"dtype":"F32","shape":[2]}"#, "tensor `a`, header byte 1: the key `data_offsets` is missing");
}

#[test]
fn n34_ranges_that_do_not_fit_together() {
    let b = |start: u64, end: u64| {
        format!(r#"{{{A},"b":{{"dtype":"U8","shape":[{}],"data_offsets":[{start},{end}]}}}}"#, end.abs_diff(start))
    };
    check(&b(4, 12), 12, "tensor `b`, header byte 54: the range 4..12 overlaps that of tensor `a`, which ends at 8");
    check(&b(10, 12), 12, "tensor `b`, header byte 54: bytes 8..10 of the data belong to no tensor");
    check(&b(8, 12), 15, "header byte 54: found 3 bytes after the last tensor, expected none");
    check("{}", 15, "header byte 0: found 15 bytes after the last tensor, expected none");
    check(&b(12, 8), 12, "tensor `b`, header byte 54: found the range 12..8, which runs backwards");
    check(
        &b(8, 13),
        12,
        "tensor `b`, header byte 54: found the range 8..13, expected its end at most at 12, the end of the data",
    );
    check_entry(
        r#"{"dtype":"F32","shape":[2],"data_offsets":[8]}"#,
        "tensor `a`, header byte 1: found 1 data offsets, expected a start and an end",
    );
    check_entry(
        r#"{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}"#,
        "tensor `a`, header byte 1: found 3 data offsets, expected a start and an end",
    );
}

#[test]
fn n35_and_36_shapes_that_do_not_fit_their_range() {
    let shape = |shape: &str| format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":[0,8]}}"#);
    check_entry(&shape("[3]"), "tensor `a`, header byte 1: found a range of 8 bytes, expected 12 for shape [3] of F32");
    check_entry(&shape("[]"), "tensor `a`, header byte 1: found a range of 8 bytes, expected 4 for shape [] of F32");
    check_entry(
        &shape("[9223372036854775807,4,0]"),
        "tensor `a`, header byte 1: found a dimension of 0, expected at least 1",
    );
    check_entry(
        &shape("[0,9223372036854775807]"),
        "tensor `a`, header byte 1: found a dimension of 0, expected at least 1",
    );
    check_entry(
        &shape("[4294967296,4294967296]"),
        "tensor `a`, header byte 1: found shape [4294967296, 4294967296], expected at most 2^40 elements",
    );
}

#[test]
fn n37_too_many_dimensions() {
    for dims in [9, 100_000] {
        let shape = vec!["1"; dims].join(",");
        check_entry(
            &format!(r#"{{"dtype":"F32","shape":[{shape}],"data_offsets":[0,4]}}"#),
            "tensor `a`, header byte 1: found more than 8 dimensions",
        );
    }
}

#[test]
fn n38_dtypes_that_we_do_not_take() {
    for dtype in ["F4", "F8_E4M3", "C64", "U32", "f32", "\\u001b"] {
        let shown = dtype.replace("\\u001b", "\\u{1b}");
        // An escaped character is shorter read than written, so its offset comes out a little late.
        let offset = if dtype == shown { 14 } else { 19 };
        let quantised = match dtype {
            "F4" | "F8_E4M3" | "U32" => "; quantised weights are not read, write the model in bf16, fp16 or fp32",
            _ => "",
        };
        check_entry(
            &format!(r#"{{"dtype":"{dtype}","shape":[2],"data_offsets":[0,8]}}"#),
            &format!(
                "tensor `a`, header byte {offset}: found dtype `{shown}`, expected one of F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL{quantised}"
            ),
        );
    }
    check_entry(
        r#"{"dtype":7,"shape":[2],"data_offsets":[0,8]}"#,
        "header byte 15: invalid type: integer `7`, expected a string",
    );
}

#[test]
fn n39_numbers_that_are_not_whole() {
    for (number, shown, offset) in [
        ("-1", "-1", 29),
        ("1.5", "1.5", 29),
        ("2e0", "2.0", 29),
        ("1e400", "", 0),
        ("18446744073709551616", "1.8446744073709552e19", 29),
    ] {
        let entry = format!(r#"{{"dtype":"F32","shape":[{number}],"data_offsets":[0,8]}}"#);
        let expected = if shown.is_empty() {
            "header byte 34: number out of range".to_owned()
        } else {
            format!(
                "tensor `a`, header byte {offset}: found {shown} as a dimension, expected a whole number without sign, fraction or exponent, below 2^64"
            )
        };
        check_entry(&entry, &expected);
    }
    check_entry(
        r#"{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}"#,
        "tensor `a`, header byte 48: found -8 as a data offset, expected a whole number without sign, fraction or exponent, below 2^64",
    );
    check_entry(
        r#"{"dtype":"F32","shape":"2","data_offsets":[0,8]}"#,
        "header byte 30: invalid type: string \"2\", expected a list of dimensions",
    );
}

#[test]
fn n40_names_are_plain_and_printed_escaped() {
    for (name, shown) in
        [("", ""), ("x\\u0000", "x\\u{0}"), ("x\\n", "x\\u{a}"), ("../../x", "../../x"), ("\u{202e}x", "\\u{202e}x")]
    {
        let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}}}"#);
        let message = refuse_file(&file_of(header.as_bytes(), 8));
        assert!(message.starts_with(&format!("tensor `{shown}`, header byte ")), "{message}");
        assert!(message.ends_with("found this name, expected 1 to 200 letters, digits, `_` or `.`"), "{message}");
    }
    let header = format!(r#"{{"{}":{{}}}}"#, "n".repeat(1 << 20));
    let message = refuse_file(&file_of(header.as_bytes(), 8));
    assert!(message.contains("… (1048576 bytes in all)`, header byte 1:") && message.len() < 400, "{message}");
}

#[test]
fn n41_metadata_is_text_and_little() {
    check(r#"{"__metadata__":{"a":1}}"#, 0, "header byte 22: invalid type: integer `1`, expected a string");
    check(r#"{"__metadata__":{"a":"x","a":"y"}}"#, 0, "header byte 25: the key `a` stands twice");
    let header = format!(r#"{{"__metadata__":{{"a":"{}"}}}}"#, "x".repeat(2 << 20));
    check(&header, 0, "header byte 17: found more than 1048576 bytes of `__metadata__`");
    // 90 MB of text: the length alone is refused, nothing is read.
    let file = [&90_000_000_u64.to_le_bytes()[..], b"{}"].concat();
    assert_eq!(refuse_file(&file), "header byte 0: found a header length of 90000000, expected 2 to 16777216");
}

#[test]
fn n42_too_many_tensors() {
    let entry = |n: usize| format!(r#""t{n}":{{"dtype":"U8","shape":[1],"data_offsets":[{n},{}]}}"#, n + 1);
    let header = format!("{{{}}}", (0..=100_000).map(entry).collect::<Vec<_>>().join(","));
    let message = refuse_file(&file_of(header.as_bytes(), 100_001));
    assert!(message.starts_with("tensor `t100000`, header byte "), "{message}");
    assert!(message.ends_with("found more than 100000 tensors"), "{message}");
    let empty = (0..250_000).map(|n| format!(r#""{n}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#));
    check(
        &format!("{{{}}}", empty.collect::<Vec<_>>().join(",")),
        0,
        "tensor `0`, header byte 1: found a dimension of 0, expected at least 1",
    );
}

#[test]
fn only_regular_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let message = check_safetensors(folder.path()).unwrap_err().to_string();
    assert!(message.ends_with("found a folder, expected a regular file"), "{message}");
    let message = check_safetensors(Path::new("/dev/zero")).unwrap_err().to_string();
    assert_eq!(message, "/dev/zero: found a device, expected a regular file");
    let message = check_safetensors(&folder.path().join("absent")).unwrap_err().to_string();
    assert!(message.ends_with("absent: cannot be read: No such file or directory (os error 2)"), "{message}");
}

#[test]
fn an_index_gives_absolute_ranges() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let header = format!(
        r#"{{"__metadata__":{{"format":"pt"}},"b.c":{{"dtype":"BF16","shape":[2,3],"data_offsets":[8,20]}},{A}}}  "#
    );
    fs::write(file.path(), file_of(header.as_bytes(), 20)).unwrap();
    let index = check_safetensors(file.path()).unwrap();
    let data = 8 + header.len() as u64;
    let b = TensorEntry { name: "b.c".into(), dtype: Dtype::BF16, shape: vec![2, 3], start: data + 8, end: data + 20 };
    assert_eq!(index.get("b.c"), Some(&b));
    assert_eq!(index.tensors().iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["a", "b.c"]);
    assert_eq!(index.metadata().get("format").map(String::as_str), Some("pt"));
    assert_eq!(index.file_len(), data + 20);
    check_finite(&index).unwrap();
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn the_writer_is_deterministic_and_aligned() {
    let (wide, narrow) = (f32s(&[1.0, -2.0]), [1_u8, 2, 3]);
    let tensors = |swap: bool| {
        let mut tensors = vec![
            TensorSource::from_bytes("z", Dtype::F32, vec![2], &wide),
            TensorSource::from_bytes("a", Dtype::U8, vec![3], &narrow),
            TensorSource::from_bytes("b", Dtype::F32, vec![1, 2], &wide),
        ];
        if swap {
            tensors.reverse();
        }
        tensors
    };
    let (mut one, mut two) = (Vec::new(), Vec::new());
    write_safetensors(&mut one, &tensors(false)).unwrap();
    write_safetensors(&mut two, &tensors(true)).unwrap();
    assert_eq!(one, two);
    let text = String::from_utf8_lossy(&one[8..]).into_owned();
    assert!(
        text.starts_with(
            r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"z":"#
        )
    );

    let library = safetensors::SafeTensors::deserialize(&one).unwrap();
    assert_eq!(library.tensor("z").unwrap().data(), wide);
    assert_eq!(library.tensor("a").unwrap().data(), narrow);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let record = write_safetensors_file(&path, &tensors(true)).unwrap();
    assert_eq!(record.size, one.len() as u64);
    let index = check_safetensors(&path).unwrap();
    assert!(index.tensors().iter().all(|entry| entry.start % entry.dtype.bytes() as u64 == 0));
}

#[test]
fn the_writer_refuses_what_the_reader_would() {
    let bytes = [0_u8; 8];
    let message = |tensors: &[TensorSource<'_>]| match write_safetensors(&mut Vec::new(), tensors) {
        Err(WriteError::Tensor(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let of = |name: &str, shape: Vec<u64>| TensorSource::from_bytes(name, Dtype::F32, shape, &bytes);
    assert_eq!(message(&[of("a", vec![3])]), "tensor `a`: found 8 bytes written, expected 12");
    assert_eq!(message(&[of("a", vec![2]), of("a", vec![2])]), "tensor `a` is given twice to the writer");
    assert!(message(&[of("a/b", vec![2])]).contains("expected 1 to 200 letters"));
    assert!(message(&[of("a", vec![1; 9])]).ends_with("found more than 8 dimensions"));
    let bad = f32s(&[1.0, f32::NAN]);
    let nan = TensorSource::from_bytes("a", Dtype::F32, vec![2], &bad);
    assert_eq!(message(&[nan]), "tensor `a`: found NaN at index 1, expected a finite number; nothing was written");
}

#[test]
fn values_that_are_not_finite_are_found_in_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let header = format!("{{{A}}}");
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &f32s(&[1.0, f32::INFINITY])].concat();
    fs::write(file.path(), bytes).unwrap();
    let error = check_finite(&check_safetensors(file.path()).unwrap()).unwrap_err();
    assert!(error.to_string().ends_with("tensor `a`: found infinity at index 1, expected a finite number"));
    assert_eq!(error.exit_code(), ExitCode::Refused);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A header that we accept is accepted by the library too, with the same ranges; random damage never panics.
    #[test]
    fn accepted_here_means_accepted_by_the_library(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in 0_usize..3) {
        let header = format!(r#"{{{A},"b.c":{{"dtype":"BF16","shape":[2,3],"data_offsets":[8,20]}}}}"#);
        let mut bytes = file_of(header.as_bytes(), 20);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(bytes.len() - cut * 7);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &bytes).unwrap();
        if let Ok(index) = check_safetensors(file.path()) {
            let library = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            prop_assert_eq!(library.len(), index.tensors().len());
            for entry in index.tensors() {
                prop_assert_eq!(library.tensor(&entry.name).unwrap().data(), &bytes[entry.range().unwrap()]);
            }
        }
    }
}
