//! Pieces against the whole: the library's own encoding of the whole text is the right answer.

use std::path::Path;

use serde_json::{Value, json};

use super::super::tokenizer_tests::ci_tokenizer;
use super::{PlacedToken, encode_in_pieces, joint};
use crate::Tokenizer;

/// A tokenizer of letters, their pairs and a few words with `▁`, as SentencePiece has them.
fn tokenizer(normalizer: &Value, pre_tokenizer: &Value) -> Tokenizer {
    let letters = || ('a'..='z').map(|letter| letter.to_string());
    let mut tokens: Vec<String> = ["<unk>", "▁", "\n", "\r", ".", "é", "日"].map(str::to_owned).to_vec();
    tokens.extend(letters());
    let mut merges = Vec::new();
    for letter in letters() {
        tokens.push(format!("▁{letter}"));
        merges.push(json!(["▁", letter]));
    }
    for (left, right) in [("t", "h"), ("th", "e"), ("a", "i"), ("ai", "n"), ("▁", "▁"), ("s", "s")] {
        tokens.push(format!("{left}{right}"));
        merges.push(json!([left, right]));
    }
    let vocabulary: serde_json::Map<String, Value> =
        tokens.into_iter().enumerate().map(|(id, token)| (token, json!(id))).collect();
    let root = json!({
        "version": "1.0", "truncation": null, "padding": null, "post_processor": null, "decoder": null, "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "added_tokens": [{"id": 0, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null, "end_of_word_suffix": null,
                  "fuse_unk": true, "byte_fallback": false, "vocab": vocabulary, "merges": merges},
    });
    Tokenizer::from_bytes(root.to_string().as_bytes(), Path::new("t.json"), None).unwrap()
}

fn metaspace(scheme: &str, split: bool) -> Value {
    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split})
}

/// Lines with one and two ends, long words, characters of several bytes, and special tokens.
fn text() -> String {
    (0..400)
        .map(|n| match n % 5 {
            0 => format!("the rain stays {}\n", "again ".repeat(n % 7)),
            1 => "it falls.\n\nand the next\r\n".to_owned(),
            2 => format!("{}th é日 日é\n", "th".repeat(n % 40)),
            3 => "a <unk> the  <unk>the\n".to_owned(),
            _ => "then thaw\n".to_owned(),
        })
        .collect()
}

#[test]
fn pieces_give_the_tokens_of_the_whole() {
    let replaced = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let prepended = json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replaced]});
    let stripped = json!({"type": "Strip", "strip_left": true, "strip_right": true});
    let cases = [
        ("metaspace, always", Value::Null, metaspace("always", true)),
        ("metaspace, first", Value::Null, metaspace("first", true)),
        ("metaspace, never", Value::Null, metaspace("never", true)),
        ("metaspace, no split", Value::Null, metaspace("always", false)),
        ("prepend", prepended, Value::Null),
        ("strip", stripped, metaspace("always", true)),
    ];
    let text = text();
    for (name, normalizer, pre_tokenizer) in cases {
        let tokenizer = tokenizer(&normalizer, &pre_tokenizer);
        let whole = tokenizer.encode(&text).unwrap();
        for size in [700, 1024, 5000] {
            assert_eq!(encode_in_pieces(&tokenizer, &text, size).unwrap(), whole, "{name}, pieces of {size}");
        }
    }
    let ci = ci_tokenizer();
    assert_eq!(encode_in_pieces(&ci, &text, 900).unwrap(), ci.encode(&text).unwrap());
}

#[test]
fn a_text_without_a_joint_is_encoded_at_once() {
    // Pairs of one letter: two pieces that begin an odd number of letters apart agree nowhere.
    let tokenizer = tokenizer(&Value::Null, &Value::Null);
    let text = "s".repeat(1001);
    let whole = tokenizer.encode(&text).unwrap();
    assert_eq!(encode_in_pieces(&tokenizer, &text, 301).unwrap(), whole);
    assert!(
        joint(&[], &super::Piece { tokens: vec![PlacedToken { id: 1, from: 0, to: 1 }], start: 0, end: 1 }).is_none()
    );
}
