//! Text from a file or a plugin, made safe to print.
//!
//! A name or message that came from a file or a plugin is printed through [`escape`], never as it is.

use std::fmt::Write as _;

/// Characters of a foreign string that [`escape`] keeps: enough for any name that we accept (200 characters).
const ESCAPE_LIMIT: usize = 200;

/// Makes text from a file or a plugin safe to print: see [`escape_to`].
pub fn escape(text: &str) -> String {
    escape_to(text, ESCAPE_LIMIT)
}

/// Escapes control characters, terminal escapes and marks that reorder or hide text, and keeps
/// at most `limit` characters of the input.
pub fn escape_to(text: &str, limit: usize) -> String {
    let mut safe = String::with_capacity(text.len().min(limit));
    for character in text.chars().take(limit) {
        if needs_escape(character) {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    // Counting stops mattering beyond the cut, and a foreign string may be huge: bytes are enough.
    let cut: usize = text.chars().take(limit).map(char::len_utf8).sum();
    if cut < text.len() {
        // Writing to a String cannot fail.
        let _ = write!(safe, "… ({} bytes in all)", text.len());
    }
    safe
}

/// Control characters, and the invisible or reordering marks of Unicode's general punctuation.
fn needs_escape(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_drive_the_terminal() {
        assert_eq!(escape("a\u{1b}[31mred\0\n"), "a\\u{1b}[31mred\\u{0}\\u{a}");
        assert_eq!(escape("abc\u{202e}fdp"), "abc\\u{202e}fdp");
        assert_eq!(escape("plain, naïve, 日本"), "plain, naïve, 日本");
    }

    #[test]
    fn foreign_text_is_shortened() {
        assert_eq!(escape_to("abcdef", 3), "abc… (6 bytes in all)");
        assert_eq!(escape_to("abc", 3), "abc");
        assert!(escape(&"x".repeat(1 << 20)).len() < 300);
    }
}
