//! The check of a `tokenizer.json` before the library sees it.
//!
//! The library panics on, or silently takes, files that this refuses: merges that name no vocabulary entry, templates with absent special tokens,
//! broken `precompiled_charsmap`s, a stride above its length, ids that repeat, an unknown token that is not there.
//! Rule for ids: over vocabulary and added tokens together each stands for one token. They may skip numbers, and run past the embedding:
//! models are published with such files, and only a text that needs such a token is in trouble (`Tokenizer::encode` says so then).

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde_json::{Map, Value};

use super::error::{TokenizerError, quote};

/// One more than the largest id, when all is well.
pub(crate) fn check(root: &Value, file: &Path) -> Result<usize, TokenizerError> {
    let refuse = |fault: FieldError| TokenizerError::Field {
        file: file.to_owned(),
        field: fault.field,
        found: fault.found,
        expected: fault.expected,
    };
    check_all(root).map_err(refuse)
}

/// One refusal, before the file's name is put to it.
struct FieldError {
    field: String,
    found: String,
    expected: String,
}

fn fault(field: &str, found: impl Into<String>, expected: impl Into<String>) -> FieldError {
    FieldError { field: field.to_owned(), found: found.into(), expected: expected.into() }
}

fn check_all(root: &Value) -> Result<usize, FieldError> {
    let Some(model) = root.get("model").and_then(Value::as_object) else {
        return Err(fault("model", kind(root.get("model")), "an object with a vocabulary"));
    };
    let vocabulary = vocabulary(model)?;
    check_merges(model, &vocabulary)?;
    check_unknown(model, &vocabulary)?;
    check_dropout(model)?;
    check_truncation(root)?;
    check_templates(root.get("post_processor"), "post_processor")?;
    check_charsmaps(root.get("normalizer"), "normalizer")?;
    check_ids(all_ids(root, &vocabulary)?)
}

/// The added tokens of a checked file with the ids that it gives them.
pub(crate) fn added_tokens(root: &Value) -> impl Iterator<Item = (&str, u64)> {
    let added = root.get("added_tokens").and_then(Value::as_array).into_iter().flatten();
    added.filter_map(|token| Some((token.get("content")?.as_str()?, token.get("id")?.as_u64()?)))
}

/// The kind of a JSON value, in words.
pub(crate) fn kind(value: Option<&Value>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(Value::Null) => "null".to_owned(),
        Some(Value::Bool(flag)) => format!("the boolean {flag}"),
        Some(Value::Number(number)) => format!("the number {number}"),
        Some(Value::String(text)) => format!("the text {}", quote(text)),
        Some(Value::Array(items)) => format!("a list of {}", items.len()),
        Some(Value::Object(fields)) => format!("an object of {} fields", fields.len()),
    }
}

/// Token to id: an object (BPE, WordPiece, WordLevel) or a list of `[token, score]` (Unigram).
fn vocabulary(model: &Map<String, Value>) -> Result<HashMap<&str, u64>, FieldError> {
    let field = "model.vocab";
    let vocabulary: HashMap<&str, u64> = match model.get("vocab") {
        Some(Value::Object(entries)) => entries
            .iter()
            .map(|(token, id)| match id.as_u64() {
                Some(id) => Ok((token.as_str(), id)),
                None => Err(fault(field, format!("{} for {}", kind(Some(id)), quote(token)), "a whole number")),
            })
            .collect::<Result<_, _>>()?,
        Some(Value::Array(entries)) => entries
            .iter()
            .zip(0_u64..)
            .map(|(entry, id)| match entry.get(0).and_then(Value::as_str) {
                Some(token) => Ok((token, id)),
                None => Err(fault(field, format!("{} as entry {id}", kind(Some(entry))), "[token, score]")),
            })
            .collect::<Result<_, _>>()?,
        other => return Err(fault(field, kind(other), "tokens with their ids")),
    };
    if vocabulary.is_empty() {
        return Err(fault(field, "no token", "at least one token"));
    }
    Ok(vocabulary)
}

/// Both halves of every merge, and what they make, are tokens. The library panics on some that are not.
fn check_merges(model: &Map<String, Value>, vocabulary: &HashMap<&str, u64>) -> Result<(), FieldError> {
    let merges = match model.get("merges") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(merges)) => merges,
        other => return Err(fault("model.merges", kind(other), "a list of pairs")),
    };
    let prefix = model.get("continuing_subword_prefix").and_then(Value::as_str).unwrap_or("");
    for (index, merge) in merges.iter().enumerate() {
        let field = format!("model.merges[{index}]");
        let Some((left, right)) = halves(merge) else {
            return Err(fault(&field, kind(Some(merge)), "two tokens, \"a b\" or [\"a\", \"b\"]"));
        };
        let Some(tail) = right.get(prefix.len()..) else {
            return Err(fault(&field, quote(right), format!("a token that begins with {}", quote(prefix))));
        };
        let joined = format!("{left}{tail}");
        for token in [left, right, joined.as_str()] {
            if !vocabulary.contains_key(token) {
                return Err(fault(
                    &field,
                    format!("{}, which is no token", quote(token)),
                    "halves and result in model.vocab",
                ));
            }
        }
    }
    Ok(())
}

fn halves(merge: &Value) -> Option<(&str, &str)> {
    match merge {
        Value::String(text) => text.split_once(' '),
        Value::Array(pair) => match pair.as_slice() {
            [Value::String(left), Value::String(right)] => Some((left, right)),
            _ => None,
        },
        _ => None,
    }
}

/// The library looks the unknown token up only when it meets an unknown character.
fn check_unknown(model: &Map<String, Value>, vocabulary: &HashMap<&str, u64>) -> Result<(), FieldError> {
    if let Some(unknown) = model.get("unk_token").and_then(Value::as_str)
        && !vocabulary.contains_key(unknown)
    {
        return Err(fault("model.unk_token", quote(unknown), "a token of model.vocab"));
    }
    match model.get("unk_id").filter(|id| !id.is_null()) {
        Some(id) if id.as_u64().is_none_or(|id| id >= vocabulary.len() as u64) => {
            Err(fault("model.unk_id", kind(Some(id)), format!("an id below {}", vocabulary.len())))
        }
        _ => Ok(()),
    }
}

/// Dropout makes encoding random: two runs would see different tokens.
fn check_dropout(model: &Map<String, Value>) -> Result<(), FieldError> {
    match model.get("dropout").and_then(Value::as_f64) {
        Some(rate) if rate != 0.0 => Err(fault("model.dropout", rate.to_string(), "null: encoding must be repeatable")),
        _ => Ok(()),
    }
}

fn check_truncation(root: &Value) -> Result<(), FieldError> {
    let Some(truncation) = root.get("truncation").filter(|value| !value.is_null()) else {
        return Ok(());
    };
    let number = |key: &str| truncation.get(key).and_then(Value::as_u64);
    match (number("max_length"), number("stride").unwrap_or(0)) {
        (None, _) => Err(fault("truncation.max_length", kind(truncation.get("max_length")), "a whole number")),
        (Some(length), stride) if stride > 0 && stride >= length => {
            Err(fault("truncation.stride", stride.to_string(), format!("less than max_length, {length}")))
        }
        _ => Ok(()),
    }
}

/// Every special token that a template names is defined beside it.
fn check_templates(processor: Option<&Value>, field: &str) -> Result<(), FieldError> {
    let Some(processor) = processor else { return Ok(()) };
    if let Some(parts) = processor.get("processors").and_then(Value::as_array) {
        for (index, part) in parts.iter().enumerate() {
            check_templates(Some(part), &format!("{field}.processors[{index}]"))?;
        }
    }
    if processor.get("type").and_then(Value::as_str) != Some("TemplateProcessing") {
        return Ok(());
    }
    let defined = processor.get("special_tokens").and_then(Value::as_object);
    for template in ["single", "pair"] {
        for piece in processor.get(template).and_then(Value::as_array).into_iter().flatten() {
            let named = piece.get("SpecialToken").and_then(|token| token.get("id")).and_then(Value::as_str);
            if let Some(named) = named
                && !defined.is_some_and(|tokens| tokens.contains_key(named))
            {
                return Err(fault(&format!("{field}.{template}"), quote(named), "a name in its special_tokens"));
            }
        }
    }
    Ok(())
}

fn check_charsmaps(normalizer: Option<&Value>, field: &str) -> Result<(), FieldError> {
    let Some(normalizer) = normalizer else { return Ok(()) };
    if let Some(parts) = normalizer.get("normalizers").and_then(Value::as_array) {
        for (index, part) in parts.iter().enumerate() {
            check_charsmaps(Some(part), &format!("{field}.normalizers[{index}]"))?;
        }
    }
    if normalizer.get("type").and_then(Value::as_str) != Some("Precompiled") {
        return Ok(());
    }
    let field = format!("{field}.precompiled_charsmap");
    let bytes = normalizer.get("precompiled_charsmap").and_then(Value::as_str).and_then(base64);
    match bytes {
        None => Err(fault(&field, "no base64 text", "a SentencePiece character map")),
        Some(bytes) if !is_charsmap(&bytes) => {
            Err(fault(&field, format!("{} bytes of another kind", bytes.len()), "a SentencePiece character map"))
        }
        Some(_) => Ok(()),
    }
}

/// `u32 n`, a double array of `n` bytes (whole, non-empty words), then UTF-8 text.
fn is_charsmap(bytes: &[u8]) -> bool {
    let Some((size, rest)) = bytes.split_first_chunk::<4>() else { return false };
    let size = u32::from_le_bytes(*size) as usize;
    size > 0 && size.is_multiple_of(4) && rest.get(size..).is_some_and(|text| std::str::from_utf8(text).is_ok())
}

/// RFC 4648 with padding. The one place that needs it is this check, so no crate is drawn in.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes();
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::with_capacity(text.len() / 4 * 3));
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    Some(bytes)
}

/// Token to id over vocabulary and added tokens; an added token that is also in the vocabulary must agree with it.
fn all_ids(root: &Value, vocabulary: &HashMap<&str, u64>) -> Result<Vec<(u64, String)>, FieldError> {
    let mut ids: Vec<(u64, String)> = vocabulary.iter().map(|(token, id)| (*id, (*token).to_owned())).collect();
    let mut seen = HashSet::new();
    for (index, added) in root.get("added_tokens").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let field = format!("added_tokens[{index}]");
        let (Some(token), Some(id)) =
            (added.get("content").and_then(Value::as_str), added.get("id").and_then(Value::as_u64))
        else {
            return Err(fault(&field, kind(Some(added)), "`content` and a whole `id`"));
        };
        match vocabulary.get(token) {
            Some(known) if *known != id => {
                return Err(fault(
                    &field,
                    format!("id {id} for {}", quote(token)),
                    format!("its id in model.vocab, {known}"),
                ));
            }
            Some(_) => {}
            None if seen.insert(token) => ids.push((id, token.to_owned())),
            None => return Err(fault(&field, format!("{} a second time", quote(token)), "each added token once")),
        }
    }
    Ok(ids)
}

/// Every id stands for one token, and the library can hold it.
fn check_ids(mut ids: Vec<(u64, String)>) -> Result<usize, FieldError> {
    ids.sort_unstable();
    let twice = ids.iter().zip(ids.iter().skip(1)).find(|((first, _), (second, _))| first == second);
    if let Some((_, (id, token))) = twice {
        return Err(fault("model.vocab", format!("a second token with id {id}, {}", quote(token)), "one token an id"));
    }
    let (largest, token) = ids.last().map(|(id, token)| (*id, token.as_str())).unwrap_or_default();
    match usize::try_from(largest) {
        Ok(largest) if largest < u32::MAX as usize => Ok(largest + 1),
        _ => Err(fault("model.vocab", format!("id {largest} for {}", quote(token)), format!("ids below {}", u32::MAX))),
    }
}
