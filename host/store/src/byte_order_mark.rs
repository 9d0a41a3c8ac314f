//! Byte-order marks: the bytes that some editors put before the first character of a text file.
//!
//! UTF-8 needs no mark (Unicode 16, 23.8): one that stands at the start says nothing and is left out, as Python's `utf-8-sig`
//! does. UTF-16 and UTF-32 are named, so that nobody has to guess why every second byte is zero.

/// The mark `U+FEFF` in UTF-8.
pub(crate) const UTF8_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Text in another encoding than UTF-8, known by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("found {found}, expected UTF-8; save the file as UTF-8")]
pub struct ForeignEncoding {
    /// `UTF-16` or `UTF-32`.
    pub found: &'static str,
}

/// The bytes of a file without a UTF-8 mark at their start.
///
/// # Errors
/// UTF-16 or UTF-32, told by its mark, or by a first character of ASCII whose other half is zero.
pub fn without_mark(bytes: &[u8]) -> Result<&[u8], ForeignEncoding> {
    let foreign = |found| Err(ForeignEncoding { found });
    match bytes {
        // The mark of UTF-32 begins with that of UTF-16.
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => foreign("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => foreign("UTF-16"),
        [0, 0, 0, 1..=0x7f, ..] | [1..=0x7f, 0, 0, 0, ..] => foreign("UTF-32"),
        [0, 1..=0x7f, ..] | [1..=0x7f, 0, ..] => foreign("UTF-16"),
        _ => Ok(bytes.strip_prefix(&UTF8_MARK).unwrap_or(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_utf8_mark_is_left_out_and_only_at_the_start() {
        assert_eq!(without_mark(b"").unwrap(), b"");
        assert_eq!(without_mark(b"{}").unwrap(), b"{}");
        assert_eq!(without_mark(b"\xef\xbb\xbf{}").unwrap(), b"{}");
        assert_eq!(without_mark(b"\xef\xbb\xbf").unwrap(), b"");
        assert_eq!(without_mark(b"\xef\xbb\xbf\xef\xbb\xbfx").unwrap(), b"\xef\xbb\xbfx");
        assert_eq!(without_mark(b"x\xef\xbb\xbf").unwrap(), b"x\xef\xbb\xbf");
        assert_eq!(without_mark(b"\xef\xbb").unwrap(), b"\xef\xbb");
    }

    /// The bytes are those of Python's `"{}".encode(...)` for utf-16, utf-16-le, utf-16-be, utf-32, utf-32-le and utf-32-be.
    #[test]
    fn other_encodings_are_named() {
        let name = |bytes: &[u8]| without_mark(bytes).unwrap_err().found;
        assert_eq!(name(b"\xff\xfe{\0}\0"), "UTF-16");
        assert_eq!(name(b"{\0}\0"), "UTF-16");
        assert_eq!(name(b"\0{\0}"), "UTF-16");
        assert_eq!(name(b"\xff\xfe\0\0{\0\0\0}\0\0\0"), "UTF-32");
        assert_eq!(name(b"{\0\0\0}\0\0\0"), "UTF-32");
        assert_eq!(name(b"\0\0\0{\0\0\0}"), "UTF-32");
        let message = without_mark(b"\xfe\xff\0{").unwrap_err().to_string();
        assert_eq!(message, "found UTF-16, expected UTF-8; save the file as UTF-8");
    }
}
