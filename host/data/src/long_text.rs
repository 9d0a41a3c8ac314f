//! The ids of a long text, the same as if it were encoded at once.
//!
//! The library holds some hundred bytes a token while it works, so a long text is encoded in pieces that overlap. Many tokenizers treat
//! the beginning of a text in their own way (Metaspace and `Prepend` put a space there, a word may be cut), so the ends of a piece count for
//! nothing: two pieces are joined in their overlap where both give the same `RUN` tokens at the same bytes.
//! Without such a place the overlap grows, and at the worst the whole text is encoded at once.

use std::collections::HashMap;

use super::error::TokenizerError;
use super::tokenizer::{PlacedToken, Tokenizer};

/// Bytes of a piece.
const PIECE: usize = 1 << 20;
/// Bytes that two pieces share at first.
const OVERLAP: usize = 1 << 12;
/// Tokens that have to agree. More than a tokenizer makes of one character, which all have the same bytes.
const RUN: usize = 24;

/// A stretch of the text, encoded by itself; its tokens' bytes are counted from the start of the whole text.
struct Piece {
    tokens: Vec<PlacedToken>,
    start: usize,
    end: usize,
}

/// The ids of `text`.
///
/// # Errors
/// The library's message.
pub(super) fn encode_long(tokenizer: &Tokenizer, text: &str) -> Result<Vec<i64>, TokenizerError> {
    encode_in_pieces(tokenizer, text, PIECE)
}

fn encode_in_pieces(tokenizer: &Tokenizer, text: &str, size: usize) -> Result<Vec<i64>, TokenizerError> {
    if text.len() <= size {
        return tokenizer.encode(text);
    }
    let ids = |tokens: &[PlacedToken]| tokens.iter().map(|token| token.id).collect::<Vec<_>>();
    let (mut done, mut last) = (Vec::new(), Piece::new(tokenizer, text, 0, size)?);
    while last.end < text.len() {
        let Some((kept, next)) = following(tokenizer, text, &last, size)? else { return tokenizer.encode(text) };
        done.extend(ids(last.tokens.get(..kept).unwrap_or_default()));
        last = next;
    }
    done.extend(ids(&last.tokens));
    Ok(done)
}

/// The number of tokens of `last` that stay, and the piece that goes on from there; none where the two nowhere agree.
fn following(
    tokenizer: &Tokenizer,
    text: &str,
    last: &Piece,
    size: usize,
) -> Result<Option<(usize, Piece)>, TokenizerError> {
    let mut overlap = OVERLAP.min(size / 2).max(1);
    while overlap < last.end - last.start {
        let mut next = Piece::new(tokenizer, text, last.end - overlap, last.end + size)?;
        if let Some((kept, dropped)) = joint(&last.tokens, &next) {
            next.tokens.drain(..dropped);
            return Ok(Some((kept, next)));
        }
        overlap = overlap.saturating_mul(8);
    }
    Ok(None)
}

/// The numbers of tokens of `before` that stay and of `after` that fall away: in the middle of the longest stretch, away from both ends.
fn joint(before: &[PlacedToken], after: &Piece) -> Option<(usize, usize)> {
    let first = before.partition_point(|token| token.from < after.start);
    let after = &after.tokens;
    let shared = before.get(first..)?;
    let mut places: HashMap<PlacedToken, usize> = HashMap::new();
    for (index, token) in after.iter().enumerate().take(2 * shared.len() + RUN) {
        places.entry(*token).or_insert(index);
    }
    let mut best: Option<(usize, usize, usize)> = None;
    let mut index = 0;
    while let Some(token) = shared.get(index) {
        let Some(&place) = places.get(token) else {
            index += 1;
            continue;
        };
        let alike =
            shared.iter().skip(index).zip(after.iter().skip(place)).take_while(|(one, other)| one == other).count();
        if alike >= RUN && best.is_none_or(|(length, ..)| alike > length) {
            best = Some((alike, first + index + alike / 2, place + alike / 2));
        }
        index += alike.max(1);
    }
    best.map(|(_, kept, taken)| (kept, taken))
}

impl Piece {
    /// The characters of `text` between these bytes, or from a byte inside a character on.
    fn new(tokenizer: &Tokenizer, text: &str, start: usize, end: usize) -> Result<Self, TokenizerError> {
        let character =
            |byte: usize| (0..=byte.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let (start, end) = (character(start), character(end));
        let tokens = tokenizer.encode_with_offsets(text.get(start..end).unwrap_or_default())?;
        let moved = |token: PlacedToken| PlacedToken { from: token.from + start, to: token.to + start, ..token };
        Ok(Self { tokens: tokens.into_iter().map(moved).collect(), start, end })
    }
}

#[cfg(test)]
#[path = "long_text_tests.rs"]
mod tests;
