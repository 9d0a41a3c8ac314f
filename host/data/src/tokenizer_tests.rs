//! Bad tokenizers, numbered 43 to 51, each with its message, and good ones.

use std::path::Path;

use serde_json::{Value, json};

use super::tokenizer::Tokenizer;

/// The tokenizer of the CI model: byte-level BPE, 1,024 tokens.
pub(crate) fn ci_tokenizer() -> Tokenizer {
    Tokenizer::load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/ci-model")), Some(1024))
        .unwrap()
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
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/ci-model/tokenizer.json");
    let (file, written): (Value, Value) = (
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap(),
        serde_json::from_str(&ci.to_json().unwrap()).unwrap(),
    );
    assert_eq!(written, file);
    assert_eq!((ci.token(0).as_deref(), ci.token(1024), ci.token(-1)), (Some("<|endoftext|>"), None, None));
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
fn no_48_ids_that_repeat() {
    let vocabulary = |id: u64| refusal("/model/vocab", json!({"a": 0, "b": 1, "ab": 2, "?": id}));
    let expect = |rest: &str| format!("t.json: `model.vocab`: found {rest}{ADVICE}");
    assert_eq!(vocabulary(2), expect("a second token with id 2, \"ab\", expected one token an id"));
    let largest = u64::from(u32::MAX);
    assert_eq!(vocabulary(largest), expect(&format!("id {largest} for \"?\", expected ids below {largest}")));
    let added = json!([{"id": 7, "content": "a", "special": true}]);
    assert_eq!(
        refusal("/added_tokens", added),
        format!("t.json: `added_tokens[0]`: found id 7 for \"a\", expected its id in model.vocab, 0{ADVICE}")
    );
}

fn added(tokens: &[(&str, u64)]) -> Value {
    let token = |(content, id): &(&str, u64)| json!({"id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false});
    tokens.iter().map(token).collect()
}

/// As the library of Python reads the same files (tokenizers 0.23.3, `Tokenizer.from_str(…).encode(…).ids`).
#[test]
fn ids_may_skip_numbers() {
    let mut root = small();
    root["model"]["vocab"] = json!({"a": 0, "b": 1, "ab": 5, "?": 9});
    let tokenizer = load(&root, Some(10)).unwrap();
    assert_eq!(tokenizer.encode("ab b z").unwrap(), [5, 1, 9]);
    assert_eq!((tokenizer.vocabulary(), tokenizer.decode(&[5, 7, 1]).unwrap()), (10, "ab b".to_owned()));
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
fn no_50_a_token_beyond_the_embedding_is_refused_where_it_is_used() {
    let mut root = small();
    root["added_tokens"] = added(&[("<s>", 4)]);
    let tokenizer = load(&root, Some(4)).unwrap();
    assert_eq!(tokenizer.encode("ab b z").unwrap(), [2, 1, 3]);
    let long = format!("{}<s> {}", "ab ".repeat(30), "b ".repeat(30));
    assert_eq!(
        tokenizer.encode(&long).unwrap_err().to_string(),
        "t.json: the text \"ab ab ab ab ab ab ab ab <s> b b b b b b b b b b b b\" cannot be encoded: the token \"<s>\" has id 4, but the model's embedding has 4 rows. Leave the token out of the text, or take the tokenizer of this model"
    );
    assert_eq!(load(&root, Some(5)).unwrap().encode("<s>").unwrap(), [4]);
    // A vocabulary that runs past the rows by itself.
    let tokenizer = load(&small(), Some(3)).unwrap();
    assert_eq!(tokenizer.encode("ab").unwrap(), [2]);
    assert!(tokenizer.encode("z").unwrap_err().to_string().contains("the token \"?\" has id 3"));
}

/// The library numbers added tokens from the size of the vocabulary on, whatever the file says (0.22 and 0.23.3 alike).
#[test]
fn an_added_token_that_the_library_gives_another_id_is_refused_where_it_is_used() {
    let mut root = small();
    for (tokens, text, said, given) in [
        (added(&[("<s>", 9)]), "a<s>", 9, 4),
        (added(&[("<q>", 5), ("<s>", 4)]), "<s>", 4, 5),
        (added(&[("<q>", 4), ("<s>", 7)]), "b <s> b", 7, 5),
    ] {
        root["added_tokens"] = tokens;
        let tokenizer = load(&root, Some(16)).unwrap();
        assert_eq!(tokenizer.encode("ab b z").unwrap(), [2, 1, 3]);
        let message = tokenizer.encode(text).unwrap_err().to_string();
        let expected =
            format!("the file gives the added token \"<s>\" id {said}, the tokenizers library gives it {given}, ");
        assert!(message.contains(&expected), "{message}");
    }
    // A hole makes the library give an added token the id of a token of the vocabulary, which stays usable.
    root["model"]["vocab"] = json!({"a": 0, "b": 1, "ab": 2, "?": 4});
    root["added_tokens"] = added(&[("<s>", 5)]);
    let tokenizer = load(&root, Some(6)).unwrap();
    assert_eq!(tokenizer.encode("ab z").unwrap(), [2, 4]);
    assert!(tokenizer.encode("<s>").is_err());
}

#[test]
fn files_of_other_tokenizers_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("tokenizer.json");
    let refused = || Tokenizer::load(folder.path(), None).unwrap_err().to_string();
    assert!(refused().contains("cannot read the tokenizer: No such file"));
    std::fs::write(folder.path().join("vocab.json"), "{}").unwrap();
    std::fs::write(folder.path().join("merges.txt"), "").unwrap();
    let advice = "Make it with Transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)";
    assert_eq!(refused(), format!("{}: not there, but vocab.json is. {advice}", place.display()));
    std::os::unix::fs::symlink("../blobs/0123", &place).unwrap();
    assert!(refused().contains("tokenizer.json: a link to ../blobs/0123, where nothing is."), "{}", refused());
}

/// An end token that is named in a file with a mark or with NaN counts; one in a broken file is not passed over.
#[test]
fn the_files_that_name_the_end_token() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).unwrap();
    let marked = |text: &str| [b"\xef\xbb\xbf", text.as_bytes()].concat();
    write("tokenizer.json", &marked(&small().to_string()));
    let load = || Tokenizer::load(folder.path(), None).map_err(|error| error.to_string());
    assert_eq!(load().unwrap().end(), None);
    write("config.json", &marked("{\"eos_token_id\": [1, 2], \"x\": Infinity}"));
    assert_eq!(load().unwrap().end(), Some(1));
    write("tokenizer_config.json", &marked("{\"eos_token\": {\"content\": \"ab\"}, \"model_max_length\": NaN}"));
    assert_eq!(load().unwrap().end(), Some(2));
    write("tokenizer_config.json", b"{\"eos_token\": ");
    let path = folder.path().join("tokenizer_config.json");
    let message = "not JSON: EOF while parsing a value at line 1 column 14; is the download complete?";
    assert_eq!(load().unwrap_err(), format!("{}: {message}", path.display()));
    write("tokenizer.json", b"\xff\xfe{\0}\0");
    assert!(load().unwrap_err().ends_with("tokenizer.json: found UTF-16, expected UTF-8; save the file as UTF-8"));
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
