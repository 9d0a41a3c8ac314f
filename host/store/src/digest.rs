//! SHA-256 digests: of bytes, of a whole file read in pieces, and their one written form.
//!
//! Rule: 64 lower-case hexadecimal digits, nothing else, so that equal digests are equal strings.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// Reading in pieces of this size keeps memory flat for files of any size.
const PIECE: usize = 1 << 18;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Ends a running hash.
    pub fn finish(hash: Sha256) -> Self {
        Self(hash.finalize().into())
    }

    /// The first 12 digits, for people; never for comparison.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// A string that is no digest in the written form.
#[derive(Debug, thiserror::Error)]
#[error("found a digest of {found} characters, expected 64 lower-case hexadecimal digits")]
pub struct NotADigest {
    found: usize,
}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let refusal = NotADigest { found: text.chars().count() };
        let mut bytes = [0_u8; 32];
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(refusal);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let &[high, low] = pair else { return Err(refusal) };
            let (Some(high), Some(low)) = (hex_value(high), hex_value(low)) else { return Err(refusal) };
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The digest and length of everything that `reader` still holds.
pub(super) fn digest_reader(mut reader: impl Read) -> io::Result<(Digest, u64)> {
    let mut hash = Sha256::new();
    let mut piece = vec![0_u8; PIECE];
    let mut length = 0;
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return Ok((Digest::finish(hash), length)),
            Ok(n) => {
                hash.update(piece.get(..n).unwrap_or_default());
                length += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_published_vector_and_its_round_trip() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string(), ABC);
        assert_eq!(ABC.parse::<Digest>().unwrap(), digest);
        assert_eq!(digest_reader(&b"abc"[..]).unwrap(), (digest, 3));
    }

    #[test]
    fn only_the_one_written_form_is_taken() {
        for wrong in ["", &ABC[1..], &ABC.to_uppercase(), &format!("{ABC}0"), &ABC.replace('b', "g")] {
            let message = wrong.parse::<Digest>().unwrap_err().to_string();
            assert_eq!(
                message,
                format!("found a digest of {} characters, expected 64 lower-case hexadecimal digits", wrong.len())
            );
        }
    }
}
