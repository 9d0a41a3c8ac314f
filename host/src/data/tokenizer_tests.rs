//! Bad tokenizers 43 to 51 of the reliability list, each with its message, and good ones.

use std::path::Path;

use serde_json::{Value, json};

use super::tokenizer::Tokenizer;

/// The tokenizer of the CI model: byte-level BPE, 1,024 tokens.
pub(crate) fn ci_tokenizer() -> Tokenizer {
    Tokenizer::load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/ci-model")), Some(1024)).unwrap()
}

fn small() -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": "?", "continuing_subword_prefix": null, "end_of_word_suffix": null,
                  "fuse_unk": false, "byte_fallback": false, "vocab": {"a": 0, "b": 1, "ab": 2, "?": 3}, "merges": ["a b"]},
    })
}

fn load(root: &Value, rows: Option<usize>) -> Result<Tokenizer, String> {
    Tokenizer::from_bytes(root.to_string().as_bytes(), Path::new("t.json"), rows).map_err(|error| error.to_string())
}

/// The small tokenizer with `value` at `pointer`; the message of its refusal.
fn refusal(pointer: &str, value: Value) -> String {
    let mut root = small();
    *root.pointer_mut(pointer).unwrap() = value;
    load(&root, None).unwrap_err()
}

const ADVICE: &str = ". Fetch the file again, or mend it with the library that wrote it";

#[test]
fn good_tokenizers_round_trip() {
    let tokenizer = load(&small(), Some(4)).unwrap();
    assert_eq!(tokenizer.encode("ab b z").unwrap(), [2, 1, 3]);
    let ci = ci_tokenizer();
    let text = "The capital of France is Paris.\n\n  42 naïve 🦀";
    assert_eq!(ci.decode(&ci.encode(text).unwrap()).unwrap(), text);
    assert_eq!((ci.vocabulary(), ci.end()), (1024, Some(0)));
}

#[test]
fn truncation_and_padding_of_the_file_are_ignored() {
    let mut root = small();
    root["truncation"] = json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
    assert_eq!(load(&root, None).unwrap().encode("a a a a").unwrap(), [0, 0, 0, 0]);
}

#[test]
fn what_is_written_is_the_tokenizer_and_no_other_word_of_the_file() {
    let special = json!({"id": 3, "content": "?", "single_word": false, "lstrip": true, "rstrip": false, "normalized": false, "special": true});
    let pieces = json!([["?", 0.0], ["\u{2581}a", -1.25], ["b", -2.5], ["ab", -0.1]]);
    let template = json!({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}], "pair": [], "special_tokens": {}});
    let over: [&[(&str, Value)]; 5] = [
        &[
            ("/added_tokens", json!([special])),
            ("/normalizer", json!({"type": "NFC"})),
            ("/decoder", json!({"type": "Fuse"})),
        ],
        &[("/model", json!({"type": "WordLevel", "vocab": {"a": 0, "b": 1, "?": 2}, "unk_token": "?"}))],
        &[(
            "/model",
            json!({"type": "WordPiece", "vocab": {"a": 0, "##b": 1, "?": 2}, "unk_token": "?",
            "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}),
        )],
        &[
            ("/model", json!({"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": false})),
            (
                "/pre_tokenizer",
                json!({"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true}),
            ),
        ],
        &[("/post_processor", template)],
    ];
    for over in over {
        let mut root = small();
        over.iter().for_each(|(pointer, value)| *root.pointer_mut(pointer).unwrap() = value.clone());
        let clean: Value = serde_json::from_str(&load(&root, None).unwrap().to_json().unwrap()).unwrap();
        // An owner's words, where the library lets them stand, and how somebody used it last.
        root["model"]["trained_on"] = "canary".into();
        root["padding"] = json!({"strategy": {"Fixed": 77}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "canary"});
        let owners = load(&root, None).unwrap();
        let written = owners.to_json().unwrap();
        assert!(!written.contains("canary"), "{written}");
        let written: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(written, clean);
        let again = load(&written, None).unwrap();
        for text in ["ab b z ?a ??", "a\u{301} ab\tbab", ""] {
            assert_eq!(again.encode(text).unwrap(), owners.encode(text).unwrap(), "{root}");
        }
    }
    let ci = ci_tokenizer();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/ci-model/tokenizer.json");
    let (file, written): (Value, Value) = (
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap(),
        serde_json::from_str(&ci.to_json().unwrap()).unwrap(),
    );
    assert_eq!(written, file);
    assert_eq!((ci.token_of(0).as_deref(), ci.token_of(1024), ci.token_of(-1)), (Some("<|endoftext|>"), None, None));
}

#[test]
fn no_43_missing_not_json_no_model() {
    let missing = Tokenizer::load(Path::new("nowhere/tokenizer.json"), None).unwrap_err().to_string();
    assert!(missing.starts_with("nowhere/tokenizer.json: cannot read the tokenizer: No such file"), "{missing}");
    let broken = Tokenizer::from_bytes(b"{\"model\": ", Path::new("t.json"), None).unwrap_err().to_string();
    assert!(broken.starts_with("t.json: not JSON: EOF while parsing a value at line 1"), "{broken}");
    assert_eq!(
        load(&json!({"version": "1.0"}), None).unwrap_err(),
        format!("t.json: `model`: found nothing, expected an object with a vocabulary{ADVICE}")
    );
}

#[test]
fn no_44_merge_of_absent_tokens() {
    let expect = |index: usize, found: &str| {
        format!("t.json: `model.merges[{index}]`: found {found}, expected halves and result in model.vocab{ADVICE}")
    };
    assert_eq!(refusal("/model/merges", json!(["a b", "ab ab"])), expect(1, "\"abab\", which is no token"));
    assert_eq!(refusal("/model/merges", json!([["ab", "c"]])), expect(0, "\"c\", which is no token"));
    let mut prefixed = small();
    prefixed["model"]["continuing_subword_prefix"] = json!("####");
    assert!(load(&prefixed, None).unwrap_err().contains("found \"b\", expected a token that begins with \"####\""));
}

#[test]
fn no_45_template_with_an_absent_token() {
    let template = json!({"type": "TemplateProcessing", "pair": [], "special_tokens": {},
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]});
    assert_eq!(
        refusal("/post_processor", template.clone()),
        format!("t.json: `post_processor.single`: found \"<s>\", expected a name in its special_tokens{ADVICE}")
    );
    let nested = refusal("/post_processor", json!({"type": "Sequence", "processors": [template]}));
    assert!(nested.contains("`post_processor.processors[0].single`"), "{nested}");
}

#[test]
fn no_46_invalid_precompiled_map() {
    for (map, found) in
        [(json!("AAAA"), "3 bytes of another kind"), (json!("!"), "no base64 text"), (json!(null), "no base64 text")]
    {
        let message = refusal("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": map}));
        let expected = "expected a SentencePiece character map";
        assert_eq!(message, format!("t.json: `normalizer.precompiled_charsmap`: found {found}, {expected}{ADVICE}"));
    }
    // Well-formed, but its one array word leads outside the array: the library panics when it encodes.
    let message = refusal("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "BAAAAAD///8="}));
    assert!(message.contains("cannot be encoded: index out of bounds"), "{message}");
}

#[test]
fn no_47_stride_beyond_the_length() {
    let truncation = json!({"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 9});
    assert_eq!(
        refusal("/truncation", truncation),
        format!("t.json: `truncation.stride`: found 9, expected less than max_length, 4{ADVICE}")
    );
}

#[test]
fn no_48_ids_that_repeat_run_off_or_skip() {
    let vocabulary = |id: u64| refusal("/model/vocab", json!({"a": 0, "b": 1, "ab": 2, "?": id}));
    let expect = |rest: &str| format!("t.json: `model.vocab`: found {rest}{ADVICE}");
    assert_eq!(vocabulary(2), expect("a second token with id 2, \"ab\", expected one token an id"));
    assert_eq!(
        vocabulary(u64::from(u32::MAX)),
        expect("id 4294967295 for \"?\", but no token 3, expected ids without a gap")
    );
    assert_eq!(vocabulary(4), expect("id 4 for \"?\", but no token 3, expected ids without a gap"));
    let added = json!([{"id": 7, "content": "a", "special": true}]);
    assert_eq!(
        refusal("/added_tokens", added),
        format!("t.json: `added_tokens[0]`: found id 7 for \"a\", expected its id in model.vocab, 0{ADVICE}")
    );
}

#[test]
fn no_49_unknown_token_absent() {
    let expect = |rest: &str| format!("t.json: `model.{rest}{ADVICE}");
    assert_eq!(
        refusal("/model/unk_token", json!("<unk>")),
        expect("unk_token`: found \"<unk>\", expected a token of model.vocab")
    );
    let mut unigram = small();
    unigram["model"] = json!({"type": "Unigram", "unk_id": 5, "vocab": [["a", -1.0]]});
    assert_eq!(load(&unigram, None).unwrap_err(), expect("unk_id`: found the number 5, expected an id below 1"));
}

#[test]
fn no_50_vocabulary_beyond_the_embedding() {
    assert_eq!(
        load(&small(), Some(3)).unwrap_err(),
        format!("t.json: `model.vocab`: found 4 tokens, expected at most 3, the rows of the model's embedding{ADVICE}")
    );
    let special = json!([{"id": 9, "content": "<s>", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}]);
    assert!(refusal("/added_tokens", special).contains("id 9 for \"<s>\", but no token 4"));
}

#[test]
fn no_51_a_regex_that_backtracks_is_stopped() {
    let mut root = small();
    root["pre_tokenizer"] =
        json!({"type": "Split", "pattern": {"Regex": "(a|a)*$"}, "behavior": "Isolated", "invert": false});
    let started = std::time::Instant::now();
    // Either the probe or the text meets the engine's limit on retries.
    let message = match load(&root, None) {
        Ok(tokenizer) => tokenizer.encode(&("a".repeat(40) + "b")).unwrap_err().to_string(),
        Err(message) => message,
    };
    assert!(message.contains("cannot be encoded"), "{message}");
    assert!(started.elapsed().as_secs() < 20);
}

#[test]
fn random_encoding_is_refused() {
    assert!(refusal("/model/dropout", json!(0.1)).contains("`model.dropout`: found 0.1, expected null"));
}

#[test]
fn ids_outside_the_vocabulary_do_not_decode() {
    let tokenizer = load(&small(), None).unwrap();
    for id in [-1, 4, i64::MAX] {
        let message = tokenizer.decode(&[id]).unwrap_err().to_string();
        assert_eq!(message, format!("t.json: 1 ids cannot be decoded: found id {id}, expected 0..4"));
    }
}
